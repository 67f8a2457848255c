"""From frames on disk to batches, the same for any number of loader processes.

What a frame looks like in an epoch depends on (seed, epoch, frame) alone, and which frames make a
batch on (seed, epoch) alone. So a resumed run, and a run on other hardware, see the same batches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from olivine.core.errors import UserError
from olivine.data.augmentations.base import Augmentation
from olivine.data.geometry.projection import correspondences
from olivine.data.pair_labels import PairLabels, ReadLabels
from olivine.data.records import IGNORE, Correspondences, Frame, Sample


def make_sample(
    frame: Frame,
    classes: PairLabels | None,
    camera_names: Sequence[str],
    empty_camera: Literal["error", "drop"] = "error",
    read_segments: ReadLabels | None = None,
) -> Sample:
    """Pair points with pixels, look up the weak class of each pair and the images' segments.

    Without `classes` every pair's class is IGNORE. A camera that sees no point is a UserError
    unless `empty_camera` is "drop", which leaves its image without pairs.
    """
    pairs = correspondences(
        frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, frame.image_size_px
    )
    seen = np.bincount(pairs.pixel_index[:, 0], minlength=len(frame.images))
    if len(frame.images) and (seen == 0).any() and empty_camera == "error":
        raise UserError(
            f"Camera {camera_names[int(seen.argmin())]} of frame {frame.token} sees none of its "
            f"{len(frame.xyz_m)} points: check its calibration, or train without its image by "
            "--set pretrained.empty_camera=drop."
        )
    return Sample(
        token=frame.token,
        xyz_m=frame.xyz_m,
        intensity=frame.intensity,
        range_m=np.hypot(frame.xyz_m[:, 0], frame.xyz_m[:, 1]),
        images=frame.images,
        pairs=pairs,
        pair_class=classes(frame, pairs) if classes else np.full(len(pairs), IGNORE, np.uint8),
        class_ids=frame.class_ids,
        segments=_segments(frame, read_segments) if read_segments else None,
    )


def _segments(frame: Frame, read: ReadLabels) -> np.ndarray:
    maps = []
    for name, image in zip(frame.image_names, frame.images, strict=True):
        maps.append(read(name, image.size_px).ids)
    return np.stack(maps)


def make_cloud(frame: Frame) -> Sample:
    """Return a sample of the scan alone."""
    return Sample(
        token=frame.token,
        xyz_m=frame.xyz_m,
        intensity=frame.intensity,
        range_m=np.hypot(frame.xyz_m[:, 0], frame.xyz_m[:, 1]),
        **_NO_IMAGES,
        class_ids=frame.class_ids,
    )


def scan_alone(sample: Sample) -> Sample:
    """Return a sample without its images and pairs."""
    return replace(sample, **_NO_IMAGES, segments=None)


_NO_IMAGES: dict[str, Any] = {
    "images": (),
    "pairs": Correspondences(np.zeros(0, np.int64), np.zeros((0, 3), np.int64)),
    "pair_class": np.zeros(0, np.uint8),
}


@dataclass
class Samples(torch.utils.data.Dataset):
    """Augmented samples, asked for by (epoch, frame). Small data sets stay in memory.

    `cache_bytes` bounds what is kept of samples as read, before augmentation.
    """

    read: Callable[[int], Sample]
    augmentations: Sequence[Augmentation]
    seed: int
    cache_bytes: int = 0
    second_view: bool = False  # the scan augmented once more, for methods that compare views
    _kept: dict[int, Sample] = field(default_factory=dict, repr=False)
    _kept_bytes: int = field(default=0, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what is kept: a process that they are sent to keeps its own."""
        return {**vars(self), "_kept": {}, "_kept_bytes": 0}

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        epoch, index = place
        sample = self._kept.get(index) or self._read(index)
        if self.second_view:
            sample = replace(sample, scan_index=np.arange(len(sample.xyz_m)))
            sample = replace(sample, view=scan_alone(sample))
        changed = self._augmented(sample, np.random.default_rng([self.seed, epoch, index]))
        if sample.view is None:
            return changed
        generator = np.random.default_rng([self.seed, epoch, index, 1])
        return replace(changed, view=self._augmented(sample.view, generator))

    def _augmented(self, sample: Sample, generator: np.random.Generator) -> Sample:
        for augment in self.augmentations:
            sample = augment(sample, generator)
        return sample

    def _read(self, index: int) -> Sample:
        sample = self.read(index)
        size = sum(image.num_bytes for image in sample.images)
        size += sample.xyz_m.nbytes + sample.pairs.pixel_index.nbytes
        size += sample.view.xyz_m.nbytes if sample.view else 0
        if self._kept_bytes + size <= self.cache_bytes:
            self._kept_bytes += size
            self._kept[index] = sample
        return sample


def named(augmentations: Mapping[str, Augmentation | None]) -> list[Augmentation]:
    """Return the augmentations that are on, in their order."""
    return [augmentation for augmentation in augmentations.values() if augmentation is not None]
