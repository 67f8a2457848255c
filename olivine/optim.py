"""SGD with a cosine over epochs, as every method compared here is trained (METHOD §5)."""

import math
from typing import Literal

import torch
from pydantic import Field

from olivine.spec import Spec

Precision = Literal["float32", "bfloat16", "float16"]


class Sgd(Spec):
    """Settings of torch's SGD; the defaults are SLidR's and OLIVINE's."""

    lr: float = Field(default=0.5, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    dampening: float = Field(default=0.1, ge=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0)

    def build(self, groups: list[dict]) -> torch.optim.SGD:
        """Return the optimiser; each group has `params` and may have its own `lr`."""
        optimiser = torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            dampening=self.dampening,
            weight_decay=self.weight_decay,
        )
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        return optimiser


def set_cosine(optimiser: torch.optim.Optimizer, epoch: int, num_epochs: int) -> None:
    """Set every group's rate to lr (1 + cos(pi epoch / num_epochs)) / 2, without warm-up."""
    share = (1 + math.cos(math.pi * epoch / num_epochs)) / 2
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * share
