"""Losses that learn from the rows they see."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from olivine.methods.matched import Matched, StepPart


@runtime_checkable
class Stateful(Protocol):
    """A loss that learns from the rows it sees, such as a bank of class means."""

    def observe(self, matched: Matched, part: StepPart) -> None:
        """See the rows of a part of a step, over all contrast groups, before the loss is asked."""
        ...

    def state_metrics(self) -> dict[str, Tensor]:
        """Return what is worth watching, without waiting for the device."""
        ...
