"""What every optimiser's settings offer, and the numbers that networks compute with."""

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
        """Return what every group's rate is multiplied with at a step, counted from 0."""


def with_first_rates(optimiser: "torch.optim.Optimizer") -> "torch.optim.Optimizer":
    """Note the rate that each group was built with, which `set_rates` multiplies."""
    for group in optimiser.param_groups:
        group["initial_lr"] = group["lr"]
    return optimiser


def set_rates(optimiser: "torch.optim.Optimizer", share: float) -> None:
    """Set every group's rate to a share of the one it was built with."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * share
