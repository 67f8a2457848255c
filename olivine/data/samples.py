"""Samples of frames, the same for any number of loader processes.

A frame's augmentation in an epoch depends on (seed, epoch, frame) alone, and the frames of a batch
on (seed, epoch) alone. So a resumed run, and a run on other hardware, get the same batches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from olivine.core.errors import UserError
from olivine.core.hashing import content_hash
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
    """Return a sample of a frame: pairs of points and pixels with their weak labels, and segments.

    Without `classes` the label of every pair is IGNORE. Raises UserError for a camera that sees no
    point, unless `empty_camera` is "drop", which leaves its image without pairs.
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
        images_hash=content_hash(*(image.content.encode() for image in frame.images)),
    )


def _segments(frame: Frame, read: ReadLabels) -> np.ndarray:
    images = zip(frame.image_names, frame.images, strict=True)
    return np.stack([read(name, image) for name, image in images])


def make_cloud(frame: Frame) -> Sample:
    """Return a sample of a frame's scan, without images."""
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
    """Augmented samples, by (epoch, frame); small data sets stay in memory.

    `cache_bytes` limits the memory for samples as they were read, before augmentation.
    """

    read: Callable[[int], Sample]
    augmentations: Sequence[Augmentation]
    seed: int
    cache_bytes: int = 0
    second_view: bool = False  # a second augmentation of the scan, to compare with
    _cached: dict[int, Sample] = field(default_factory=dict, repr=False)
    _cached_bytes: int = field(default=0, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache out; each process that the samples are sent to has its own."""
        return {**vars(self), "_cached": {}, "_cached_bytes": 0}

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        sample = self._cached.get(index) or self._read(index)
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
        if self._cached_bytes + size <= self.cache_bytes:
            self._cached_bytes += size
            self._cached[index] = sample
        return sample


def named(augmentations: Mapping[str, Augmentation | None]) -> list[Augmentation]:
    """Return the augmentations that are not None, in their order."""
    return [augmentation for augmentation in augmentations.values() if augmentation is not None]
