"""Weakly supervised contrast: every key of the query's class is a positive (OLIVINE, L_sup).

The loss is the log of the *sum* over positives, so each query only needs some pixel of its class
to be near (method.md §4.2). All classes distinct: InfoNCE. A single class: zero.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.data.records import IGNORE
from olivine.methods.losses.gathered_keys import GathersKeys
from olivine.methods.losses.log_sum_exp import class_log_sum_exps
from olivine.methods.matched import Matched


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


class SupConLoss(nn.Module):
    """The loss of one contrast group, among its own keys.

    What has no class is left out: it may be of any, so it is neither positive nor negative.
    """

    def __init__(self, temperature: float, mean_over_positives: bool):
        super().__init__()
        self.temperature, self.mean_over_positives = temperature, mean_over_positives

    def forward(self, matched: Matched) -> Tensor:
        """Return the loss of the queries that have a class."""
        assert matched.keys is not None
        return _of_known(self, matched, matched.keys, matched.class_ids)


class GatheredSupConLoss(GathersKeys):
    """The loss of one contrast group, among the keys of the whole batch."""

    def __init__(self, temperature: float, mean_over_positives: bool):
        super().__init__()
        self.temperature, self.mean_over_positives = temperature, mean_over_positives

    def forward(self, matched: Matched) -> Tensor:
        """Return the loss of the queries that have a class."""
        return _of_known(self, matched, self.batch.keys, self.batch.class_ids)


def _of_known(
    loss: SupConLoss | GatheredSupConLoss, matched: Matched, keys: Tensor, key_classes: Tensor
) -> Tensor:
    queries_known, keys_known = matched.class_ids != IGNORE, key_classes != IGNORE
    return sup_con(
        matched.queries[queries_known],
        keys[keys_known],
        matched.class_ids[queries_known],
        loss.temperature,
        loss.mean_over_positives,
        key_classes=key_classes[keys_known],
    )
