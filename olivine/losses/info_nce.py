"""InfoNCE between matched rows: each query must pick its own key (PPKT, SLidR, OLIVINE eq. 1)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from olivine.network_parts import Loss
from olivine.tensors import Matched


def info_nce(
    queries: Float[Tensor, "M D"], keys: Float[Tensor, "M D"], temperature: float
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of picking key i for query i among all keys.

    Rows are unit length. One direction only: points ask, pixels answer (METHOD §4.1). The
    logits are single precision whatever the rows are.
    """
    logits = (queries @ keys.T).float() / temperature
    return F.cross_entropy(logits, torch.arange(len(queries), device=queries.device))


class _InfoNCE(nn.Module):
    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, matched: Matched) -> Tensor:
        assert matched.keys is not None
        return info_nce(matched.queries, matched.keys, self.temperature)


class InfoNCE(Loss):
    """Settings: `temperature` divides cosine similarities."""

    temperature: float = 0.07

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from matched rows to a scalar."""
        return _InfoNCE(self.temperature)
