"""The frames of each batch, over all epochs and workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from olivine.core.errors import UserError

SampleKey = tuple[int, int]  # epoch, frame


@runtime_checkable
class BatchKeys(Protocol):
    """The sample keys of every batch, in order; a sample key is (epoch, frame)."""

    def __iter__(self) -> Iterator[list[SampleKey]]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Schedule:
    """The frames of each batch, over all epochs, for one of several workers.

    A worker's share of a batch comes in `num_parts` equal parts, one after another. Raises
    UserError for a split smaller than a batch, and for a batch that cannot be shared equally.
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
        """The number of full batches in an epoch; other frames are left over in each epoch."""
        return self.num_frames // self.batch_frames

    def batch_keys(self, start_step: int) -> Iterator[list[SampleKey]]:
        """Yield the sample keys of every part of every batch from a global step on."""
        share = self.batch_frames // self.world_size
        part = share // self.num_parts
        first_epoch, first_step = divmod(start_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self.num_epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(self.num_frames)
            for step in range(first_step if epoch == first_epoch else 0, self.steps_per_epoch):
                begin = step * self.batch_frames + self.rank * share
                for first in range(begin, begin + share, part):
                    yield [(epoch, int(index)) for index in order[first : first + part]]


def one_pass(
    num_frames: int, batch_frames: int, rank: int = 0, world_size: int = 1
) -> list[list[SampleKey]]:
    """Return the sample keys of a worker's share of a split: each frame once and in order."""
    mine = range(rank, num_frames, world_size)
    return [
        [(0, index) for index in mine[begin : begin + batch_frames]]
        for begin in range(0, len(mine), batch_frames)
    ]


@dataclass(frozen=True)
class _ScheduledKeys:
    """A schedule's batch keys from a step on, as a batch sampler."""

    schedule: Schedule
    start_step: int

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return self.schedule.batch_keys(self.start_step)

    def __len__(self) -> int:
        num_steps = self.schedule.steps_per_epoch * self.schedule.num_epochs - self.start_step
        return num_steps * self.schedule.num_parts
