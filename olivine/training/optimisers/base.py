"""The family of optimisers, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.core.parts import Part

if TYPE_CHECKING:
    import torch


class Optimiser(Part):
    """Builds one of torch's optimisers and sets its learning rate over a training."""

    family: ClassVar[str] = "optimisers"
    built_in: ClassVar[Mapping[str, str]] = {
        "adamw": "olivine.training.optimisers.adamw:AdamW",
        "sgd": "olivine.training.optimisers.sgd:Sgd",
    }

    lr: float = Field(default=0.5, gt=0, description="Learning rate that the schedule starts from.")

    @abstractmethod
    def build(self, groups: list[dict]) -> "torch.optim.Optimizer":
        """Return the optimiser; each group has `params` and may have its own `lr`."""

    @abstractmethod
    def rate_share(self, step: int, steps_per_epoch: int, num_epochs: int) -> float:
        """Return the factor of every group's learning rate at a step, counted from 0."""


def with_first_rates(optimiser: "torch.optim.Optimizer") -> "torch.optim.Optimizer":
    """Record each group's initial learning rate, which `set_rates` multiplies."""
    for group in optimiser.param_groups:
        group["initial_lr"] = group["lr"]
    return optimiser


def set_rates(optimiser: "torch.optim.Optimizer", share: float) -> None:
    """Set every group's learning rate to a share of its initial one."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * share
