"""The connected regions of another labeller's classes, as segments without names.

Each connected region of one class is a segment. So any labeller of classes gives superpixels that
follow objects, as Seal derives them from foundation models (Liu et al., NeurIPS 2023; method.md
§7.1). There, two objects of one class that touch are separate segments; here they are not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, model_validator

from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.labeller import ImageLabeller, Labeller

if TYPE_CHECKING:
    import torch


class Regions(Labeller):
    """Turns the connected regions of another labeller's classes into segments."""

    kind: ClassVar[str] = "regions"
    makes: ClassVar[Literal["classes", "segments"]] = "segments"
    of: Labeller = Field(description="Labeller that finds the classes.")
    min_px: int = Field(
        default=16,
        ge=1,
        description="Smallest size of a segment (px); smaller regions belong to no segment.",
    )
    max_segments: int = Field(
        default=IGNORE,
        ge=1,
        le=IGNORE,
        description="Largest number of segments per image; the largest are kept.",
    )

    @model_validator(mode="after")
    def _has_classes(self) -> "Regions":
        if self.of.makes != "classes":
            raise ValueError(f"of.kind={self.of.kind} makes segments already: use it as it is")
        return self

    @property
    def identity(self) -> str:
        """A hash of these settings and the identity of the labeller of classes."""
        return self.identity_of(self.of.identity)

    @property
    def reads(self) -> tuple[str, ...]:
        """Return what the labeller of classes reads."""
        return self.of.reads

    @property
    def class_names(self) -> tuple[str, ...]:
        """Segments have no names."""
        return ()

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the loaded labeller; raise UserError as the labeller of classes does."""
        return _RegionFinder(self, self.of.build(device, frames))


class _RegionFinder:
    def __init__(self, settings: Regions, classes: ImageLabeller):
        self._settings, self._classes = settings, classes

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        settings = self._settings
        return [
            regions(class_ids, settings.min_px, settings.max_segments)
            for class_ids in self._classes(images, names)
        ]


def regions(
    class_ids: UInt8[np.ndarray, "rows columns"], min_px: int, max_segments: int
) -> UInt8[np.ndarray, "rows columns"]:
    """Return segment ids from 0, the largest region first; IGNORE where there is none.

    Pixels that share a side are connected.
    """
    from scipy.ndimage import label

    found, number = np.zeros(class_ids.shape, np.int64), 0  # 0: none
    for class_id in np.setdiff1d(class_ids, IGNORE):
        of_class, more = label(class_ids == class_id)
        found += np.where(of_class > 0, of_class + number, 0)
        number += more
    sizes_px = np.bincount(found.ravel())
    sizes_px[0] = 0
    kept = np.argsort(-sizes_px, kind="stable")[:max_segments]
    kept = kept[sizes_px[kept] >= min_px]
    id_of = np.full(len(sizes_px), IGNORE, np.uint8)
    id_of[kept] = np.arange(len(kept))
    return id_of[found]
