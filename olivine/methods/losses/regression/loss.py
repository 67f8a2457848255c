"""Each point feature is moved onto its pixel feature; no negatives (ScaLR, Puy et al. 2024)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from olivine.methods.losses.log_sum_exp import exact
from olivine.methods.matched import Matched


def mean_distance(queries: Float[Tensor, "M D"], keys: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """Return the mean Euclidean distance of matched unit rows, sqrt(2 - 2 cos) (method.md §7.1).

    The gradient of a pair at distance 0 is 0. No pair at all gives zero.
    """
    if len(queries) == 0:
        return (queries.sum() + keys.sum()) * 0.0
    return torch.linalg.vector_norm(exact(queries) - exact(keys), dim=1).mean()


class RegressionLoss(nn.Module):
    """The mean distance of a contrast group's rows."""

    def forward(self, matched: Matched) -> Tensor:
        """Return the mean over the group's queries."""
        assert matched.keys is not None
        own = slice(None) if matched.key_of is None else matched.key_of
        return mean_distance(matched.queries, matched.keys[own])
