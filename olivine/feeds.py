"""How batches reach a training: made in its own process, or elsewhere.

A stage takes whatever feed its worker has. `load_here` is torch's loader; `ray_jobs.feeding`
streams from the CPUs of a cluster. What a batch is made of is decided before, so all feeds yield
equal batches.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol, runtime_checkable

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
    loader = DataLoader(
        samples,
        batch_sampler=places,
        collate_fn=collate,
        num_workers=num_processes,
        pin_memory=torch.cuda.is_available(),
    )
    try:
        yield from loader
    except UserError as error:
        # A loader process wraps the sentence in its traceback; the sentence is the last of it.
        raise UserError(str(error).rpartition("olivine.errors.UserError: ")[2].strip()) from None
