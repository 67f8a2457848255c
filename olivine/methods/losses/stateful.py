"""Losses with a state that the rows of each step update."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from olivine.methods.matched import Matched, StepPart


@runtime_checkable
class Stateful(Protocol):
    """A loss with a state that the rows of each step update, such as a bank of class means."""

    def observe(self, matched: Matched, part: StepPart) -> None:
        """Update the state by a step's rows, of all contrast groups, before the loss."""
        ...

    def state_metrics(self) -> dict[str, Tensor]:
        """Return scalars to be logged, without waiting for the device."""
        ...
