"""Each point feature is moved onto its pixel feature; no negatives (ScaLR, Puy et al. 2024)."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from olivine.contrast import exact
from olivine.network_parts import Loss
from olivine.tensors import Matched


def mean_distance(queries: Float[Tensor, "M D"], keys: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """Return the mean Euclidean distance of matched unit rows, sqrt(2 - 2 cos) (METHOD §7.1).

    The gradient of a pair at distance 0 is 0. No pair at all gives zero.
    """
    if len(queries) == 0:
        return (queries.sum() + keys.sum()) * 0.0
    return torch.linalg.vector_norm(exact(queries) - exact(keys), dim=1).mean()


class _Regression(nn.Module):
    def forward(self, matched: Matched) -> Tensor:
        assert matched.keys is not None
        own = slice(None) if matched.key_of is None else matched.key_of
        return mean_distance(matched.queries, matched.keys[own])


class Regression(Loss):
    """It has no settings."""

    kind: ClassVar[str] = "regression"
    shares_keys: ClassVar[bool] = True

    def build(self, num_channels: int, num_classes: int) -> nn.Module:
        """Return a module from matched rows to a scalar."""
        return _Regression()
