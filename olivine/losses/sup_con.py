"""Weakly supervised contrast: every key of the query's class is a positive (OLIVINE, L_sup).

The loss is the log of the *sum* over positives, so each query only needs some pixel of its class
to be near (METHOD §4.2). All classes distinct: InfoNCE. A single class: zero.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.network_parts import Loss
from olivine.tensors import Matched
from olivine.types import IGNORE


def sup_con(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "M D"],
    class_ids: Int[Tensor, " M"],
    temperature: float,
    mean_over_positives: bool = False,
) -> Float[Tensor, ""]:
    """Return the mean of -log of the share of similarity that falls on the query's own class.

    With `mean_over_positives` the positives are averaged as in the paper; the official code sums
    them. The two differ by the constant log |A(i)| and have the same gradient.
    """
    logits = (queries @ keys.T).float() / temperature
    same = class_ids[:, None] == class_ids[None, :]
    positives = logits.masked_fill(~same, -torch.inf).logsumexp(dim=1)
    losses = logits.logsumexp(dim=1) - positives
    if mean_over_positives:
        losses = losses + same.sum(dim=1).log()
    return losses.mean()


class _SupCon(nn.Module):
    def __init__(self, temperature: float, mean_over_positives: bool):
        super().__init__()
        self.temperature, self.mean_over_positives = temperature, mean_over_positives

    def forward(self, matched: Matched) -> Tensor:
        assert matched.keys is not None
        # A pixel without a class may be of any class: neither positive nor negative.
        known = matched.class_ids != IGNORE
        if not known.any():
            return (matched.queries.sum() + matched.keys.sum()) * 0.0
        return sup_con(
            matched.queries[known],
            matched.keys[known],
            matched.class_ids[known],
            self.temperature,
            self.mean_over_positives,
        )


class SupCon(Loss):
    """Settings: `temperature` divides cosine similarities; see `sup_con` for the other."""

    temperature: float = 0.07
    mean_over_positives: bool = False

    uses_classes: ClassVar[bool] = True

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from matched rows to a scalar."""
        return _SupCon(self.temperature, self.mean_over_positives)
