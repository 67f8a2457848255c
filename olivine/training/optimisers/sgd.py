"""SGD with a cosine over epochs, as SLidR's family of methods is trained (method.md §5)."""

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.training.optimisers.base import Optimiser, with_first_rates

if TYPE_CHECKING:
    import torch


class Sgd(Optimiser):
    """SGD with a cosine over epochs; the defaults are those of SLidR and OLIVINE."""

    kind: ClassVar[str] = "sgd"

    lr: float = Field(default=0.5, gt=0, description="Learning rate of the first epoch.")
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="Share of the last step's direction that is kept."
    )
    dampening: float = Field(
        default=0.1, ge=0, le=1, description="Share of the gradient that the momentum leaves out."
    )
    weight_decay: float = Field(
        default=1e-4, ge=0, description="Weight decay, added to the gradient."
    )

    def build(self, groups: list[dict]) -> "torch.optim.Optimizer":
        """Return the optimiser; each group has `params` and may have its own `lr`."""
        import torch

        optimiser = torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            dampening=self.dampening,
            weight_decay=self.weight_decay,
        )
        return with_first_rates(optimiser)

    def rate_share(self, step: int, steps_per_epoch: int, num_epochs: int) -> float:
        """Return (1 + cos(pi epoch / num_epochs)) / 2, the same for a whole epoch; no warm-up."""
        return (1 + math.cos(math.pi * (step // steps_per_epoch) / num_epochs)) / 2
