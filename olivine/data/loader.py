"""How batches reach a training: made in its own process, or elsewhere.

A stage takes whatever feed its worker has. `load_batches` is torch's loader; `ray_jobs.feeding`
streams from the CPUs of a cluster. What a batch is made of is decided before, so all feeds yield
equal batches.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset

from olivine.core.errors import UserError
from olivine.data.batch import Batch
from olivine.data.collate import Collate, ReadMaps
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import Sample
from olivine.data.samples import Samples
from olivine.data.schedule import Places, Schedule, _Places


@runtime_checkable
class BatchSource(Protocol):
    """Makes batches of samples, ahead of their use."""

    def __call__(
        self,
        samples: Dataset[Sample],
        places: Places,
        collate: Callable[[Sequence[Sample]], Batch],
        num_processes: int,
    ) -> Generator[Batch, None, None]:
        """Yield the batch of each entry of `places`, in order.

        `num_processes` make them. Closing the iterator ends them. Raises UserError as the reading
        of a sample does.
        """
        ...


def load_batches(
    samples: Dataset[Sample],
    places: Places,
    collate: Callable[[Sequence[Sample]], Batch],
    num_processes: int,
) -> Generator[Batch, None, None]:
    """Yield batches made by child processes, which live through all epochs; 0: by this one."""
    loader: DataLoader[Any] = DataLoader(
        _Mendable(samples),
        batch_sampler=places,
        collate_fn=_Collated(collate),
        num_workers=num_processes,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


@dataclass(frozen=True)
class _Mendable(Dataset[Sample | UserError]):
    """Gives what a user can mend as a value: an exception leaves a loader process as a traceback.

    So the sentence crosses processes as it is, and the parent raises it.
    """

    samples: Dataset[Sample]

    def __getitem__(self, place: tuple[int, int]) -> Sample | UserError:
        try:
            return self.samples[place]
        except UserError as error:
            return error


@dataclass(frozen=True)
class _Collated:
    """Makes a batch, or gives the first thing that is wrong with its samples."""

    collate: Callable[[Sequence[Sample]], Batch]

    def __call__(self, samples: Sequence[Sample | UserError]) -> Batch | UserError:
        for sample in samples:
            if isinstance(sample, UserError):
                return sample
        try:
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
    """Yield the batches of every remaining step; loader processes live through all epochs.

    Of frames whose maps `read_maps` finds, a batch has those instead of their images.
    """
    places = _Places(schedule, start_step)
    return batch_source(samples, places, Collate(voxelizer, read_maps=read_maps), num_processes)


def validation_batches(
    samples: Samples,
    places: Places,
    voxelizer: Voxelizer,
    num_processes: int,
    *,
    batch_source: BatchSource = load_batches,
) -> Generator[Batch, None, None]:
    """Yield the batches of `one_pass`, in which every point has a voxel."""
    return batch_source(samples, places, Collate(voxelizer, every_point=True), num_processes)
