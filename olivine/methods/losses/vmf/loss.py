"""Compactness of each class under a von Mises-Fisher distribution (OLIVINE, L_kl; method.md §4.3).

A bank holds one vMF density per weak class: the running mean of the class's features gives a
direction and a concentration. After the warm-up, features are pulled towards their class by the
negative log-likelihood. Direction and concentration carry no gradient. Nothing waits for the
device.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.core.collectives import sum_over_workers
from olivine.data.records import IGNORE
from olivine.methods.losses.log_sum_exp import exact, full_precision
from olivine.methods.losses.vmf.density import concentration, log_normaliser
from olivine.methods.matched import WHOLE, Matched, StepPart


class VonMisesFisher(nn.Module):
    """The bank and the loss; its buffers are in checkpoints."""

    mean: Tensor
    num_updates: Tensor
    step: Tensor

    def __init__(
        self,
        num_channels: int,
        num_classes: int,
        *,
        momentum: float,
        warmup_steps: int,
        freeze: bool,
        bias_correction: bool,
        concentration: float | Literal["estimated"],
        concentration_scale: float,
        max_concentration: float | None,
        average: Literal["class", "point"],
        form: Literal["likelihood", "posterior"],
    ):
        super().__init__()
        self.num_channels, self.momentum = num_channels, momentum
        self.warmup_steps, self.freeze = warmup_steps, freeze
        self.bias_correction = bias_correction
        self.concentration, self.concentration_scale = concentration, concentration_scale
        self.max_concentration = max_concentration
        self.average, self.form = average, form
        self.register_buffer("mean", torch.zeros(num_classes, num_channels))
        self.register_buffer("num_updates", torch.zeros(num_classes))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._step = 0  # the same number, without waiting for the device
        self._sums: list[Tensor] = []  # of the earlier parts of this step
        self.register_load_state_dict_post_hook(_restep)  # type: ignore[no-untyped-call] # torch: no hints

    @property
    def is_warm(self) -> bool:
        """Whether the loss is on."""
        return self._step > self.warmup_steps

    @torch.no_grad()
    def observe(self, matched: Matched, part: StepPart = WHOLE) -> None:
        """Move the bank towards the class means of this step, over all groups and workers.

        Of a step in parts, it moves with the last part, towards the means of all parts.
        """
        if part.is_first:
            self._step += 1
            self.step.fill_(self._step)
            self._sums = []
        if self.is_warm and self.freeze:
            return
        sums, counts = class_sums(matched.queries, matched.class_ids, len(self.mean))
        self._sums.append(torch.cat([sums, counts[:, None]], dim=1))
        if not part.is_last:
            return
        both = sum_over_workers(torch.stack(self._sums).sum(dim=0))
        self._sums = []
        sums, counts = both[:, :-1], both[:, -1]
        seen = counts > 0
        now = sums / counts.clamp(min=1)[:, None]
        # Written as a small change, so that single precision does not lose 1 - momentum.
        self.mean += (1 - self.momentum) * (now - self.mean) * seen[:, None]
        self.num_updates += seen

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return directions (K, D), concentrations (K) and which classes had a point so far (K)."""
        mean = self._mean()
        if self.concentration == "estimated":
            estimate = concentration(mean.norm(dim=1), self.num_channels)
            kappa = self.concentration_scale * estimate
        else:
            kappa = torch.full_like(self.num_updates, self.concentration)
        if self.max_concentration is not None:
            kappa = kappa.clamp(max=self.max_concentration)
        return F.normalize(mean, dim=1), kappa, self.num_updates > 0

    def _mean(self) -> Float[Tensor, "K D"]:
        if not self.bias_correction:
            return self.mean
        share = -(self.num_updates.clamp(min=1) * math.log(self.momentum)).expm1()
        return self.mean / share[:, None]

    def forward(self, matched: Matched) -> Tensor:
        """Return the mean loss of the queries, which is zero during the warm-up.

        The likelihood is linear in the features, so only the sum of each class is needed. Queries
        without a class, or of a class that the bank has no point of, do not count.
        """
        if not self.is_warm:
            return exact(matched.queries).sum() * 0.0
        direction, kappa, seen = self.classes()
        sums, counts = class_sums(matched.queries, matched.class_ids, len(kappa))
        counts = counts * seen
        log_normalisers = log_normaliser(kappa, self.num_channels)
        log_density = counts * log_normalisers + seen * kappa * (sums * direction).sum(dim=1)
        if self.form == "posterior":
            log_density = log_density - self._log_evidence(
                matched, (kappa[:, None] * direction, log_normalisers, seen)
            )
        if self.average == "point":
            return -log_density.sum() / counts.sum().clamp(min=1)
        return -(log_density / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)

    def _log_evidence(
        self, matched: Matched, classes: tuple[Tensor, Tensor, Tensor]
    ) -> Float[Tensor, " K"]:
        """Return, per class, the sum over its queries of the log density of the whole mixture."""
        natural, log_normalisers, seen = classes
        with full_precision(natural.device):
            logits = exact(matched.queries) @ natural.T + log_normalisers
        evidence = logits.masked_fill(~seen, -torch.inf).logsumexp(dim=1, keepdim=True)
        evidence = torch.where(seen.any(), evidence, 0.0)
        return class_sums(evidence, matched.class_ids, len(seen))[0][:, 0] * seen

    def state_metrics(self) -> dict[str, Tensor]:
        """Return the stage and, per class id, concentration, mean length and number of updates.

        A class without a point so far has zeros.
        """
        _, kappa, seen = self.classes()
        kappa, length = kappa * seen, self._mean().norm(dim=1)
        number = seen.sum()
        metrics = {
            "warm": (self.step > self.warmup_steps).float(),
            "classes_seen": number,
            "kappa_mean": kappa.sum() / number.clamp(min=1),
        }
        columns = {"kappa": kappa, "mean_length": length, "num_updates": self.num_updates}
        for name, values in columns.items():
            metrics |= {f"{name}/{k}": value for k, value in enumerate(values.unbind())}
        return metrics


def _restep(module: nn.Module, _: object) -> None:
    assert isinstance(module, VonMisesFisher)
    module._step = int(module.step)


def class_sums(
    rows: Float[Tensor, "M D"], class_ids: Int[Tensor, " M"], num_classes: int
) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
    """Return the sum and the number of the rows of each class; ignored rows do not count."""
    rows = exact(rows)
    if rows.device.type == "cpu":  # half the product's time; on a GPU its order would be random
        ids = torch.where(class_ids == IGNORE, num_classes, class_ids)
        sums = rows.new_zeros(num_classes + 1, rows.shape[1]).index_add(0, ids, rows)
        return sums[:-1], ids.bincount(minlength=num_classes + 1)[:-1].to(rows)
    return product_sums(rows, class_ids, num_classes)


def product_sums(
    rows: Float[Tensor, "M D"], class_ids: Int[Tensor, " M"], num_classes: int
) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
    """Return `class_sums` by one matrix product, always in the same order of additions."""
    classes = torch.arange(num_classes, device=class_ids.device)
    members = (classes[:, None] == class_ids).to(rows)
    with full_precision(rows.device):
        return members @ rows, members.sum(dim=1)
