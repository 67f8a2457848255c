"""From frames on disk to batches, the same for any number of loader processes.

What a frame looks like in an epoch depends on (seed, epoch, frame) alone, and which frames make a
batch on (seed, epoch) alone. So a resumed run, and a run on other hardware, see the same batches.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from olivine.collation import Collate, ReadMaps
from olivine.errors import UserError
from olivine.feeds import Feed, Places, load_here
from olivine.geometry.projection import correspondences
from olivine.geometry.voxels import Voxelizer
from olivine.pair_classes import PairClasses, ReadLabels
from olivine.parts import Augmentation
from olivine.tensors import Batch
from olivine.types import IGNORE, Correspondences, Frame, Sample


def make_sample(
    frame: Frame,
    classes: PairClasses | None,
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


@dataclass(frozen=True)
class Schedule:
    """Which frames make which batch, over all epochs, for one of several workers.

    A worker's share of a batch comes in `num_parts` equal parts, one after another.
    """

    num_frames: int
    batch_frames: int  # over all workers
    num_epochs: int
    seed: int
    rank: int = 0
    world_size: int = 1
    num_parts: int = 1

    def __post_init__(self) -> None:
        if self.num_frames < self.batch_frames:
            raise UserError(
                f"The split has {self.num_frames} frames and a batch takes {self.batch_frames}: "
                "choose a larger split or a smaller batch_frames."
            )
        if self.batch_frames % self.world_size:
            raise UserError(
                f"batch_frames={self.batch_frames} cannot be shared by {self.world_size} workers: "
                "make it a multiple of runtime.num_workers."
            )
        if self.batch_frames // self.world_size % self.num_parts:
            raise UserError(
                f"A worker's {self.batch_frames // self.world_size} frames of a batch cannot be "
                f"taken in {self.num_parts} equal parts: choose another accumulated_parts."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; the frames left over sit out, others in each epoch."""
        return self.num_frames // self.batch_frames

    def places(self, start_step: int) -> Iterator[list[tuple[int, int]]]:
        """Yield (epoch, frame) of every part of every batch from a global step on."""
        share = self.batch_frames // self.world_size
        part = share // self.num_parts
        first_epoch, first_step = divmod(start_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self.num_epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(self.num_frames)
            for step in range(first_step if epoch == first_epoch else 0, self.steps_per_epoch):
                begin = step * self.batch_frames + self.rank * share
                for first in range(begin, begin + share, part):
                    yield [(epoch, int(index)) for index in order[first : first + part]]


def training_batches(
    samples: Samples,
    schedule: Schedule,
    voxelizer: Voxelizer,
    start_step: int,
    num_processes: int,
    *,
    feed: Feed = load_here,
    read_maps: ReadMaps | None = None,
) -> Generator[Batch, None, None]:
    """Yield the batches of every remaining step; loader processes live through all epochs.

    Of frames whose maps `read_maps` finds, a batch has those instead of their images.
    """
    places = _Places(schedule, start_step)
    return feed(samples, places, Collate(voxelizer, read_maps=read_maps), num_processes)


def validation_batches(
    samples: Samples,
    places: Places,
    voxelizer: Voxelizer,
    num_processes: int,
    *,
    feed: Feed = load_here,
) -> Generator[Batch, None, None]:
    """Yield the batches of `once_over`, in which every point has a voxel."""
    return feed(samples, places, Collate(voxelizer, every_point=True), num_processes)


def once_over(
    num_frames: int, batch_frames: int, rank: int = 0, world_size: int = 1
) -> list[list[tuple[int, int]]]:
    """Return this worker's share of a split, each frame once and in order, in batches."""
    mine = range(rank, num_frames, world_size)
    return [
        [(0, index) for index in mine[begin : begin + batch_frames]]
        for begin in range(0, len(mine), batch_frames)
    ]


@dataclass(frozen=True)
class _Places:
    """A batch sampler that starts in the middle."""

    schedule: Schedule
    start_step: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.schedule.places(self.start_step)

    def __len__(self) -> int:
        num_steps = self.schedule.steps_per_epoch * self.schedule.num_epochs - self.start_step
        return num_steps * self.schedule.num_parts


def named(augmentations: Mapping[str, Augmentation | None]) -> list[Augmentation]:
    """Return the augmentations that are on, in their order."""
    return [augmentation for augmentation in augmentations.values() if augmentation is not None]
