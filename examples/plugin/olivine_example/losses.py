"""Decoupled InfoNCE: the denominator does not contain the query's own key.

Yeh et al., "Decoupled Contrastive Learning", ECCV 2022: InfoNCE's gradient vanishes if a query
already resembles its key; without the key in the denominator it does not.
"""

from typing import ClassVar

import torch
from olivine.methods.losses.base import Loss
from olivine.methods.matched import Matched
from pydantic import Field
from torch import Tensor, nn


class DecoupledNCE(Loss):
    """Settings: `temperature` divides cosine similarities."""

    kind: ClassVar[str] = "decoupled_nce"

    temperature: float = Field(default=0.1, gt=0, description="Divides cosine similarities.")

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from the matched rows of one contrast group to a scalar."""
        return _DecoupledNCE(self.temperature)


class _DecoupledNCE(nn.Module):
    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, matched: Matched) -> Tensor:
        """Return the mean over the queries, or zero if there is no other key."""
        assert matched.keys is not None
        queries, keys = matched.queries.float(), matched.keys.float()
        if len(queries) < 2:
            return (queries.sum() + keys.sum()) * 0.0
        logits = queries @ keys.T / self.temperature
        own = torch.eye(len(queries), dtype=torch.bool, device=logits.device)
        others = logits.masked_fill(own, -torch.inf).logsumexp(dim=1)
        return (others - logits.diagonal()).mean()
