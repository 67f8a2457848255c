"""Cut a random box out of the scan (method.md §1.4.2)."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from olivine.data.augmentations.base import Augmentation
from olivine.data.records import Correspondences, Sample


class DropCuboid(Augmentation):
    """Removes the points in a random box.

    The removal is undone if any image would keep fewer than `min_pairs` pairs.
    """

    kind: ClassVar[str] = "drop_cuboid"

    max_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Largest share of the scan's extent along each axis that the box takes.",
    )
    min_pairs: int = Field(
        default=1024, ge=0, description="Number of pairs that every image must keep."
    )

    @property
    def effect_on_images(self) -> Literal["none"]:
        """It changes points alone."""
        return "none"

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the sample without the points strictly inside the box."""
        share = self.max_share * generator.random()
        centre = generator.integers(len(sample.xyz_m))
        keep = np.zeros(len(sample.xyz_m), dtype=bool)
        for column_m in sample.xyz_m.T:  # numpy is slow along rows of three
            keep |= np.abs(column_m - column_m[centre]) >= np.ptp(column_m) * share / 2
        kept_pair = keep[sample.pairs.point_index]
        left = np.bincount(sample.pairs.pixel_index[kept_pair, 0], minlength=len(sample.images))
        if (left < self.min_pairs).any() or not keep.any():
            return sample
        new_row = np.cumsum(keep) - 1
        pairs = sample.pairs.take(kept_pair)
        return replace(
            sample,
            xyz_m=sample.xyz_m[keep],
            intensity=sample.intensity[keep],
            range_m=sample.range_m[keep],
            pairs=Correspondences(new_row[pairs.point_index], pairs.pixel_index),
            pair_class=sample.pair_class[kept_pair],
            class_ids=None if sample.class_ids is None else sample.class_ids[keep],
            scan_index=None if sample.scan_index is None else sample.scan_index[keep],
            cluster_ids=None if sample.cluster_ids is None else sample.cluster_ids[keep],
        )
