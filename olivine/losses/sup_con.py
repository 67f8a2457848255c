"""Weakly supervised contrast: every key of the query's class is a positive (OLIVINE, L_sup).

The loss is the log of the *sum* over positives, so each query only needs some pixel of its class
to be near (METHOD §4.2). All classes distinct: InfoNCE. A single class: zero.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from olivine.contrast import class_log_sum_exps
from olivine.gathering import GathersKeys
from olivine.network_parts import Loss
from olivine.tensors import Matched
from olivine.types import IGNORE


def sup_con(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "N D"],
    class_ids: Int[Tensor, " M"],
    temperature: float,
    mean_over_positives: bool = False,
    *,
    key_classes: Int[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean of -log of the share of similarity that falls on the query's own class.

    With `mean_over_positives` the positives are averaged as in the paper; the official code sums
    them. The two differ by the constant log |A(i)| and have the same gradient. Without
    `key_classes`, key i has the class of query i. No query at all gives zero.
    """
    if len(queries) == 0:
        return (queries.sum() + keys.sum()) * 0.0
    key_classes = class_ids if key_classes is None else key_classes
    total, same = class_log_sum_exps(queries, keys, class_ids, key_classes, temperature)
    losses = total - same
    if mean_over_positives:
        most = int(torch.maximum(class_ids.max(), key_classes.max())) + 1
        losses = losses + key_classes.bincount(minlength=most)[class_ids].log()
    return losses.mean()


def _of_known(
    settings: "SupCon", matched: Matched, keys: Tensor | None, key_classes: Tensor
) -> Tensor:
    """Leave out what has no class: it may be of any, so it is neither positive nor negative."""
    assert keys is not None
    queries_known, keys_known = matched.class_ids != IGNORE, key_classes != IGNORE
    return sup_con(
        matched.queries[queries_known],
        keys[keys_known],
        matched.class_ids[queries_known],
        settings.temperature,
        settings.mean_over_positives,
        key_classes=key_classes[keys_known],
    )


class _SupCon(nn.Module):
    def __init__(self, settings: "SupCon"):
        super().__init__()
        self.settings = settings

    def forward(self, matched: Matched) -> Tensor:
        return _of_known(self.settings, matched, matched.keys, matched.class_ids)


class _GatheredSupCon(GathersKeys):
    def __init__(self, settings: "SupCon"):
        super().__init__()
        self.settings = settings

    def forward(self, matched: Matched) -> Tensor:
        return _of_known(self.settings, matched, self.batch.keys, self.batch.class_ids)


class SupCon(Loss):
    """Settings: `temperature` divides cosine similarities; see `sup_con` for the second.

    With `gather_keys` the keys of the whole batch are candidates, over all contrast groups and
    workers; the loss stays the same for any number of workers (see `InfoNCE`).
    """

    kind: ClassVar[str] = "sup_con"

    temperature: float = Field(default=0.07, gt=0)
    mean_over_positives: bool = False
    gather_keys: bool = False

    uses_classes: ClassVar[bool] = True

    @property
    def uses_whole_batch(self) -> bool:
        """Whether it compares with all of a batch at once: where it gathers keys."""
        return self.gather_keys

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from matched rows to a scalar."""
        return _GatheredSupCon(self) if self.gather_keys else _SupCon(self)
