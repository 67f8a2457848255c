"""The worker that a stage runs on: one process, or one of several that train together.

Stages use only this protocol. `LocalWorker` is a single process;
`olivine.runners.on_ray.train.RayWorker` is a process of Ray Train.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from olivine.core.loader_share import Machine, this_machine
from olivine.data.loader import BatchSource, load_batches


@runtime_checkable
class Worker(Protocol):
    """One of `world_size` processes that hold the same model."""

    rank: int
    world_size: int
    device: torch.device
    batch_source: BatchSource  # makes its batches

    def machine(self) -> Machine:
        """Return what this worker may use of its machine, beside the others there."""
        ...

    def wrap(self, module: nn.Module) -> nn.Module:
        """Move the module to the device and average its gradients over the workers."""
        ...

    def report(self, metrics: Mapping[str, float]) -> None:
        """Report a run's progress to the scheduler; every worker calls it equally often."""
        ...


class LocalWorker:
    """The only process of a run."""

    rank = 0
    world_size = 1

    def __init__(
        self, device: str | torch.device = "cpu", batch_source: BatchSource = load_batches
    ):
        self.device = torch.device(device)
        self.batch_source = batch_source

    def machine(self) -> Machine:
        """Return all that this process may use."""
        return this_machine()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Move the module to the device."""
        return module.to(self.device)

    def report(self, metrics: Mapping[str, float]) -> None:
        """Do nothing; no scheduler waits for a report."""
