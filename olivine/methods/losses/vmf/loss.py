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
    num_updates: Tensor  # steps that had a point of the class
    weight: Tensor  # of all points in the mean; the rest is its start at zero
    step: Tensor

    def __init__(
        self,
        num_channels: int,
        num_classes: int,
        *,
        momentum: float,
        bank: Literal["per_group", "pooled"],
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
        self.num_channels, self.momentum, self.bank = num_channels, momentum, bank
        self.warmup_steps, self.freeze = warmup_steps, freeze
        self.bias_correction = bias_correction
        self.concentration, self.concentration_scale = concentration, concentration_scale
        self.max_concentration = max_concentration
        self.average, self.form = average, form
        self.register_buffer("mean", torch.zeros(num_classes, num_channels))
        self.register_buffer("num_updates", torch.zeros(num_classes))
        if bank == "per_group":  # pooled ones need none, and neither had those of version 0.2
            self.register_buffer("weight", torch.zeros(num_classes))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._step = 0  # the same number, without waiting for the device
        self._found: list[Tensor] = []  # in the earlier parts of this step
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
            self._found = []
        if self.is_warm and self.freeze:
            return
        grouped = self.bank == "per_group"
        self._found.append(self._of_groups(matched, part) if grouped else self._of_all(matched))
        if not part.is_last:
            return
        found = sum_over_workers(torch.stack(self._found).sum(dim=0))
        self._found = []
        if grouped:
            self.move_per_group(found[:, :-2], found[:, -2], found[:, -1])
        else:
            self.move_pooled(found[:, :-1], found[:, -1])

    def _of_all(self, matched: Matched) -> Tensor:
        sums, counts = class_sums(matched.queries, matched.class_ids, len(self.mean))
        return torch.cat([sums, counts[:, None]], dim=1)

    def _of_groups(self, matched: Matched, part: StepPart) -> Tensor:
        if part.groups is None:
            ids, group = torch.unique(matched.group_ids, return_inverse=True)
            num_groups = len(ids)
        else:
            group, num_groups = matched.group_ids - part.groups.start, len(part.groups)
        sums, counts = group_sums(
            matched.queries, matched.class_ids, (group, num_groups), len(self.mean)
        )
        means = (sums / counts.clamp(min=1)[:, :, None]).sum(dim=0)
        present = (counts > 0).sum(dim=0).to(means)
        total = torch.full_like(present, num_groups)
        return torch.cat([means, present[:, None], total[:, None]], dim=1)

    @torch.no_grad()
    def move_pooled(self, sums: Float[Tensor, "K D"], counts: Float[Tensor, " K"]) -> None:
        """Move each class that a step had towards the mean of its points, given their sums."""
        seen = counts > 0
        now = sums / counts.clamp(min=1)[:, None]
        # Written as a small change, so that single precision does not lose 1 - momentum.
        self.mean += (1 - self.momentum) * (now - self.mean) * seen[:, None]
        self.num_updates += seen

    @torch.no_grad()
    def move_per_group(
        self,
        means: Float[Tensor, "K D"],
        present: Float[Tensor, " K"],
        num_groups: Float[Tensor, " K"],
    ) -> None:
        """Move as the average over `num_groups` banks, of which those without the class stay.

        `means` are sums, over the `present` groups that had the class, of their class means.
        """
        rate = (1 - self.momentum) / num_groups.clamp(min=1)
        self.mean += rate[:, None] * (means - present[:, None] * self.mean)
        self.weight += rate * present * (1 - self.weight)
        self.num_updates += present > 0

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
        if self.bank == "per_group":
            share = torch.where(self.weight > 0, self.weight, 1.0)
        else:
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
    return _id_sums(rows, torch.where(class_ids == IGNORE, num_classes, class_ids), num_classes)


def group_sums(
    rows: Float[Tensor, "M D"],
    class_ids: Int[Tensor, " M"],
    groups: tuple[Int[Tensor, " M"], int],
    num_classes: int,
) -> tuple[Float[Tensor, "G K D"], Float[Tensor, "G K"]]:
    """Return `class_sums` of each group; `groups` are the rows' groups, from 0, and their count."""
    group, num_groups = groups
    num_ids = num_groups * num_classes
    ids = torch.where(class_ids == IGNORE, num_ids, group * num_classes + class_ids)
    sums, counts = _id_sums(rows, ids, num_ids)
    return sums.unflatten(0, (num_groups, num_classes)), counts.view(num_groups, num_classes)


def _id_sums(
    rows: Float[Tensor, "M D"], ids: Int[Tensor, " M"], num_ids: int
) -> tuple[Float[Tensor, "I D"], Float[Tensor, " I"]]:
    """Return the sum and the number of the rows of each id; an id of `num_ids` does not count."""
    rows = exact(rows)
    if rows.device.type == "cpu":  # half the product's time; on a GPU its order would be random
        sums = rows.new_zeros(num_ids + 1, rows.shape[1]).index_add(0, ids, rows)
        return sums[:-1], ids.bincount(minlength=num_ids + 1)[:-1].to(rows)
    return product_sums(rows, ids, num_ids)


def product_sums(
    rows: Float[Tensor, "M D"], class_ids: Int[Tensor, " M"], num_classes: int
) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
    """Return `class_sums` by one matrix product, always in the same order of additions."""
    classes = torch.arange(num_classes, device=class_ids.device)
    members = (classes[:, None] == class_ids).to(rows)
    with full_precision(rows.device):
        return members @ rows, members.sum(dim=1)
