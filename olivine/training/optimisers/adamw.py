"""AdamW with a linear warm-up and a cosine over steps, as WaffleIron and ScaLR are trained.

Puy et al., "Using a Waffle Iron for Automotive Point Cloud Semantic Segmentation" (ICCV 2023) and
"Three Pillars Improving Vision Foundation Model Distillation for Lidar" (CVPR 2024); method.md §5.
"""

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from olivine.core.errors import UserError
from olivine.training.optimisers.base import Optimiser, with_first_rates

if TYPE_CHECKING:
    import torch


class AdamW(Optimiser):
    """AdamW with a linear warm-up and a cosine; the defaults are those of ScaLR's distillation.

    A parameter group with a learning rate of its own follows the same curve, scaled to that
    rate.
    """

    kind: ClassVar[str] = "adamw"

    lr: float = Field(default=2e-3, gt=0, description="Learning rate at the end of the warm-up.")
    beta1: float = Field(
        default=0.9, ge=0, lt=1, description="Decay of the gradient's moving average."
    )
    beta2: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the squared gradient's moving average."
    )
    weight_decay: float = Field(default=0.03, ge=0, description="Decoupled weight decay.")
    warmup_steps: int = Field(
        default=3500,
        ge=0,
        description="Steps over which the learning rate rises linearly; 0 has no warm-up.",
    )
    final_lr: float = Field(
        default=1e-5, ge=0, description="Learning rate at the end of the cosine."
    )

    @model_validator(mode="after")
    def _falls(self) -> "AdamW":
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr={self.final_lr:g} must not be above lr={self.lr:g}")
        return self

    def build(self, groups: list[dict]) -> "torch.optim.Optimizer":
        """Return the optimiser; each group has `params` and may have its own `lr`."""
        import torch

        optimiser = torch.optim.AdamW(
            groups,
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay,
        )
        return with_first_rates(optimiser)

    def rate_share(self, step: int, steps_per_epoch: int, num_epochs: int) -> float:
        """Return the share at a step; raise UserError for a warm-up as long as the training."""
        num_steps = steps_per_epoch * num_epochs
        if self.warmup_steps >= num_steps:
            raise UserError(
                f"optimiser.warmup_steps={self.warmup_steps} is not below the {num_steps} steps of "
                f"this training ({num_epochs} epochs of {steps_per_epoch}): set fewer."
            )
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (num_steps - self.warmup_steps)
        last = self.final_lr / self.lr
        return last + (1 - last) * (1 + math.cos(math.pi * progress)) / 2
