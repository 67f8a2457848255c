"""How batches reach a training: made in its own process, or elsewhere.

A stage takes whatever feed its worker has. `load_here` is torch's loader; `ray_jobs.feeding`
streams from the CPUs of a cluster. What a batch is made of is decided before, so all feeds yield
equal batches.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset

from olivine.errors import UserError
from olivine.tensors import Batch
from olivine.types import Sample


@runtime_checkable
class Places(Protocol):
    """The (epoch, frame) of every sample of every batch, in order."""

    def __iter__(self) -> Iterator[list[tuple[int, int]]]: ...

    def __len__(self) -> int: ...


@runtime_checkable
class Feed(Protocol):
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


def load_here(
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
