"""InfoNCE between matched rows: each query must pick its own key (PPKT, SLidR, OLIVINE eq. 1)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.methods.losses.gathered_keys import GathersKeys
from olivine.methods.losses.log_sum_exp import dense_logits, is_dense, log_sum_exp, own_logits
from olivine.methods.matched import Matched


def info_nce(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "N D"],
    temperature: float,
    own: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of picking key own[i] for query i among all keys.

    Rows are unit length; without `own`, the key of query i is key i. One direction only: points
    ask, pixels answer (method.md §4.1). The logits are single precision whatever the rows are, also
    under autocast; many rows are contrasted tile by tile. No query at all gives zero.
    """
    if len(queries) == 0:
        return (queries.sum() + keys.sum()) * 0.0
    if own is None:
        own = torch.arange(len(queries), device=queries.device)
    if is_dense(queries, keys):
        return F.cross_entropy(dense_logits(queries, keys, temperature), own)
    total = log_sum_exp(queries, keys, temperature)
    return (total - own_logits(queries, keys[own], temperature)).mean()


class InfoNCELoss(nn.Module):
    """The loss of one contrast group, among its own keys."""

    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, matched: Matched) -> Tensor:
        """Return the mean over the group's queries."""
        assert matched.keys is not None
        return info_nce(matched.queries, matched.keys, self.temperature, matched.key_of)


class GatheredInfoNCELoss(GathersKeys):
    """The loss of one contrast group, among the keys of the whole batch."""

    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, matched: Matched) -> Tensor:
        """Return the mean over the group's queries."""
        own = self.batch.own_of(matched)
        return info_nce(matched.queries, self.batch.keys, self.temperature, own)
