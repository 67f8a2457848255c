"""InfoNCE between matched rows: each query must pick its own key (PPKT, SLidR, OLIVINE eq. 1)."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from olivine.contrast import dense_logits, is_dense, log_sum_exp, own_logits
from olivine.gathering import GathersKeys
from olivine.network_parts import Loss
from olivine.tensors import Matched


def info_nce(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "N D"],
    temperature: float,
    own: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of picking key own[i] for query i among all keys.

    Rows are unit length; without `own`, the key of query i is key i. One direction only: points
    ask, pixels answer (METHOD §4.1). The logits are single precision whatever the rows are, also
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


class _InfoNCE(nn.Module):
    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, matched: Matched) -> Tensor:
        assert matched.keys is not None
        return info_nce(matched.queries, matched.keys, self.temperature, matched.key_of)


class _GatheredInfoNCE(GathersKeys):
    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, matched: Matched) -> Tensor:
        own = self.batch.own_of(matched)
        return info_nce(matched.queries, self.batch.keys, self.temperature, own)


class InfoNCE(Loss):
    """Settings: `temperature` divides cosine similarities.

    With `gather_keys` a query is compared with the keys of the whole batch, over all contrast
    groups and all workers, and the group only says which queries are averaged. So the loss stays
    the same for any number of workers, unlike gathering what each device happens to hold.
    """

    kind: ClassVar[str] = "info_nce"

    temperature: float = Field(default=0.07, gt=0)
    gather_keys: bool = False

    shares_keys: ClassVar[bool] = True

    @property
    def uses_whole_batch(self) -> bool:
        """Whether it compares with all of a batch at once: where it gathers keys."""
        return self.gather_keys

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from matched rows to a scalar."""
        kind = _GatheredInfoNCE if self.gather_keys else _InfoNCE
        return kind(self.temperature)
