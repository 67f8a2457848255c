"""Compactness of each class under a von Mises-Fisher distribution (OLIVINE, L_kl; METHOD §4.3).

A bank keeps one vMF per weak class: the running mean of the class's features gives a direction
and a concentration. Once the bank is warm, features are pulled towards their class by the
negative log-likelihood. Direction and concentration carry no gradient.
"""

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from olivine.network_parts import Loss
from olivine.tensors import Matched
from olivine.types import IGNORE
from olivine.worker import sum_over_workers

SHORTEST, LONGEST = 1e-4, 1.0 - 1e-4  # mean lengths outside give no finite concentration


def concentration(mean_length: Float[Tensor, " K"], num_channels: int) -> Float[Tensor, " K"]:
    """Return kappa of a vMF whose mean vector has this length (Banerjee et al. 2005, eq. 4.4)."""
    length = mean_length.clamp(SHORTEST, LONGEST)
    return length * (num_channels - length**2) / (1 - length**2)


def log_bessel(order: float, kappa: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
    """Return log I_order(kappa) by the uniform expansion for large orders (DLMF 10.41.3).

    Two correction terms: three decimals at order 31 for every kappa met here. It neither
    overflows nor loops.
    """
    z = kappa / order
    s = (1 + z * z).sqrt()
    t = 1 / s
    eta = s + (z / (1 + s)).log()
    u1 = (3 * t - 5 * t**3) / 24
    u2 = (81 * t**2 - 462 * t**4 + 385 * t**6) / 1152
    leading = order * eta - 0.5 * math.log(2 * math.pi * order) - 0.5 * s.log()
    return leading + (1 + u1 / order + u2 / order**2).log()


def log_normaliser(kappa: Float[Tensor, " K"], num_channels: int) -> Float[Tensor, " K"]:
    """Return log of the factor that makes exp(kappa mu.z) a density on the unit sphere."""
    order = num_channels / 2 - 1
    return order * kappa.log() - (order + 1) * math.log(2 * math.pi) - log_bessel(order, kappa)


class VonMisesFisher(nn.Module):
    """The bank and the loss; buffers survive in checkpoints."""

    mean: Tensor
    num_updates: Tensor
    step: Tensor

    def __init__(self, settings: "VMF", num_channels: int, num_classes: int):
        super().__init__()
        self.settings, self.num_channels = settings, num_channels
        self.register_buffer("mean", torch.zeros(num_classes, num_channels))
        self.register_buffer("num_updates", torch.zeros(num_classes))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @property
    def is_warm(self) -> bool:
        """Whether the loss is on."""
        return int(self.step) > self.settings.warmup_steps

    @torch.no_grad()
    def observe(self, matched: Matched) -> None:
        """Move the bank towards the class means of this step, over all groups and workers."""
        self.step += 1
        if self.is_warm and self.settings.freeze:
            return
        sums, counts = class_sums(matched.queries, matched.class_ids, len(self.mean))
        both = sum_over_workers(torch.cat([sums, counts[:, None]], dim=1))
        sums, counts = both[:, :-1], both[:, -1]
        seen = counts > 0
        now = sums / counts.clamp(min=1)[:, None]
        # Written as a small change, so that single precision does not eat 1 - momentum.
        self.mean += (1 - self.settings.momentum) * (now - self.mean) * seen[:, None]
        self.num_updates += seen

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return directions (K, D), concentrations (K) and which classes were ever seen (K)."""
        mean = self.mean
        if self.settings.bias_correction:
            share = -(self.num_updates.clamp(min=1) * math.log(self.settings.momentum)).expm1()
            mean = mean / share[:, None]
        kappa = concentration(mean.norm(dim=1), self.num_channels)
        if self.settings.max_concentration is not None:
            kappa = kappa.clamp(max=self.settings.max_concentration)
        return F.normalize(mean, dim=1), kappa, self.num_updates > 0

    def forward(self, matched: Matched) -> Tensor:
        """Return the negative log-likelihood of the queries; zero until the bank is warm."""
        if not self.is_warm:
            return matched.queries.sum() * 0.0
        direction, kappa, seen = self.classes()
        known = matched.class_ids != IGNORE
        known &= seen[torch.where(known, matched.class_ids, 0)]
        if not known.any():
            return matched.queries.sum() * 0.0
        queries, class_ids = matched.queries[known].float(), matched.class_ids[known]
        log_density = log_normaliser(kappa, self.num_channels)[class_ids] + kappa[class_ids] * (
            queries * direction[class_ids]
        ).sum(dim=1)
        if self.settings.average == "point":
            return -log_density.mean()
        counts = class_ids.bincount(minlength=len(kappa))
        return -(log_density / counts[class_ids]).sum() / (counts > 0).sum()

    def state_metrics(self) -> dict[str, Tensor]:
        """Return what is worth watching, without waiting for the device."""
        _, kappa, seen = self.classes()
        number = seen.sum().clamp(min=1)
        return {"kappa_mean": (kappa * seen).sum() / number, "classes_seen": seen.sum()}


def class_sums(
    rows: Float[Tensor, "M D"], class_ids: Int[Tensor, " M"], num_classes: int
) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
    """Return the sum and the number of the rows of each class; ignored rows count nowhere."""
    known = class_ids != IGNORE
    rows, class_ids = rows[known].float(), class_ids[known]
    sums = rows.new_zeros(num_classes, rows.shape[1]).index_add_(0, class_ids, rows)
    return sums, class_ids.bincount(minlength=num_classes).to(rows)


class VMF(Loss):
    """Settings; the defaults are the official code's, whose EMA starts at zero.

    `momentum` is the share of the old mean kept per step. For `warmup_steps` the bank learns and
    the loss is zero; then the loss is on and, with `freeze`, the bank stands still.
    `bias_correction` divides out the EMA's start at zero, which otherwise makes rare classes less
    concentrated; `max_concentration` caps kappa. `average` is over classes then points (the
    code), or over points (the paper's equation).
    """

    momentum: float = Field(default=0.9999, gt=0, lt=1)
    warmup_steps: int = Field(default=10_001, ge=0)  # the code's global_step <= 10000
    freeze: bool = True
    bias_correction: bool = False
    max_concentration: float | None = None
    average: Literal["class", "point"] = "class"

    uses_keys: ClassVar[bool] = False
    uses_classes: ClassVar[bool] = True

    @model_validator(mode="after")
    def _learns(self) -> "VMF":
        if self.freeze and self.warmup_steps == 0:
            raise ValueError("a bank that freezes after warmup_steps=0 learns nothing: set one")
        return self

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from matched rows to a scalar, with a bank to `observe`."""
        return VonMisesFisher(self, num_channels, num_classes)
