"""Batch sources: how batches are made for a training, in loader processes or elsewhere.

A stage takes the batch source of its worker. `load_batches` is torch's DataLoader;
`olivine.runners.on_ray.batch_source` makes batches on the CPUs of a cluster. The content of a batch
is decided before, so all sources yield equal batches.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset

from olivine.core.errors import UserError
from olivine.core.user_parts import errors_of_user_code
from olivine.data.batch import Batch
from olivine.data.collate import Collate, ReadMaps
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import Sample
from olivine.data.samples import Samples
from olivine.data.schedule import BatchKeys, Schedule, _ScheduledKeys


@runtime_checkable
class BatchSource(Protocol):
    """Makes batches of samples before they are needed."""

    def __call__(
        self,
        samples: Dataset[Sample],
        batch_keys: BatchKeys,
        collate: Callable[[Sequence[Sample]], Batch],
        num_processes: int,
    ) -> Generator[Batch, None, None]:
        """Yield the batch of each entry of `batch_keys`, in order.

        `num_processes` processes make the batches, and closing the iterator ends them. Raises
        UserError as the reading of a sample does.
        """
        ...


def load_batches(
    samples: Dataset[Sample],
    batch_keys: BatchKeys,
    collate: Callable[[Sequence[Sample]], Batch],
    num_processes: int,
) -> Generator[Batch, None, None]:
    """Yield the batch of each entry of `batch_keys`, made by torch's DataLoader.

    `num_processes` child processes make the batches, at most one per batch, and live through all
    epochs; with 0 this process makes them. No number is drawn from torch's global generator, from
    which a step's random layers draw.
    """
    loader: DataLoader[Any] = DataLoader(
        _ErrorsAsValues(samples),
        batch_sampler=batch_keys,
        collate_fn=_Collated(collate),
        num_workers=min(num_processes, len(batch_keys)),
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


@dataclass(frozen=True)
class _ErrorsAsValues(Dataset[Sample | UserError]):
    """Returns a UserError as a value, so that it crosses processes unchanged; the parent raises it.

    An exception would leave a loader process as a traceback.
    """

    samples: Dataset[Sample]

    def __getitem__(self, key: tuple[int, int]) -> Sample | UserError:
        try:
            with errors_of_user_code():
                return self.samples[key]
        except UserError as error:
            return error


@dataclass(frozen=True)
class _Collated:
    """Returns a batch, or the first UserError among its samples."""

    collate: Callable[[Sequence[Sample]], Batch]

    def __call__(self, samples: Sequence[Sample | UserError]) -> Batch | UserError:
        for sample in samples:
            if isinstance(sample, UserError):
                return sample
        try:
            with errors_of_user_code():
                return self.collate(samples)  # type: ignore[arg-type] # no error is left among them
        except UserError as error:
            return error


def training_batches(
    samples: Samples,
    schedule: Schedule,
    voxelizer: Voxelizer,
    start_step: int,
    num_processes: int,
    *,
    batch_source: BatchSource = load_batches,
    read_maps: ReadMaps | None = None,
) -> Generator[Batch, None, None]:
    """Yield the batches of every step from `start_step` on, each in its parts.

    Frames whose feature maps `read_maps` finds have those in the batch instead of their images.
    """
    batch_keys = _ScheduledKeys(schedule, start_step)
    return batch_source(samples, batch_keys, Collate(voxelizer, read_maps=read_maps), num_processes)


def validation_batches(
    samples: Samples,
    batch_keys: BatchKeys,
    voxelizer: Voxelizer,
    num_processes: int,
    *,
    batch_source: BatchSource = load_batches,
) -> Generator[Batch, None, None]:
    """Yield the batches of `one_pass`, in which every point has a voxel."""
    return batch_source(samples, batch_keys, Collate(voxelizer, every_point=True), num_processes)
