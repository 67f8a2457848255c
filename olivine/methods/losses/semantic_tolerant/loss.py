"""InfoNCE that spares negatives which look alike to the frozen teacher (ST-SLidR).

Mahmoud et al., CVPR 2023; method.md §7.1. Logits are *multiplied* by a weight, as in the official
code, so a negative of weight 0 still adds exp(0) = 1 to the sum.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from olivine.methods.losses.log_sum_exp import dense_logits, exact, full_precision
from olivine.methods.matched import Matched

VOTES_FROM = 0.5  # a row as similar as this counts as another of the same class
QUANTILE_LIMIT = 1 << 24  # numbers that torch.quantile takes at once


def semantic_tolerant(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "M D"],
    similarity: Float[Tensor, "M M"],
    *,
    min_quantile: float,
    temperature: float,
    balanced: bool,
) -> Float[Tensor, ""]:
    """Return the weighted mean cross-entropy of picking key i for query i.

    `similarity` is the cosine of frozen features. Peak memory grows with M²: for the superpixels
    of a contrast group, some thousand rows. No pair at all gives zero.
    """
    if len(queries) == 0:
        return (queries.sum() + keys.sum()) * 0.0
    logits = dense_logits(queries, keys, temperature) * logit_weights(similarity, min_quantile)
    own = torch.arange(len(queries), device=queries.device)
    losses = F.cross_entropy(logits, own, reduction="none")
    if not balanced:
        return losses.mean()
    weights = query_weights(similarity)
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def logit_weights(similarity: Float[Tensor, "M M"], min_quantile: float) -> Float[Tensor, "M M"]:
    """Return the factor of each logit: 1 on the diagonal, small for look-alikes.

    With a quantile above 0, the share `min_quantile` of each row with the smallest 1 - similarity
    gets 0 and the others 1; otherwise the factor is 1 - similarity itself. Similarities below 0
    count as 0.
    """
    weights = 1 - similarity.clamp(0, 1)
    if min_quantile > 0:
        rows = max(QUANTILE_LIMIT // len(weights), 1)
        parts = [part.quantile(min_quantile, dim=1) for part in weights.split(rows)]
        weights = ((weights >= torch.cat(parts)[:, None]) & (weights > 0)).to(weights)
    return weights.fill_diagonal_(1.0)


@torch.no_grad()
def query_weights(similarity: Float[Tensor, "M M"]) -> Float[Tensor, " M"]:
    """Return the weight of each query: 0 for the one with the most look-alikes, 1 for the least.

    All ones where every query has as many.
    """
    votes = (similarity * (similarity >= VOTES_FROM)).sum(dim=1)
    least, most = votes.min(), votes.max()
    return torch.where(most > least, (most - votes) / (most - least).clamp(min=1e-12), 1.0)


class SemanticTolerantLoss(nn.Module):
    """The loss of one contrast group, whose rows bring their frozen features."""

    def __init__(self, *, min_quantile: float, temperature: float, balanced: bool):
        super().__init__()
        self.min_quantile, self.temperature, self.balanced = min_quantile, temperature, balanced

    def forward(self, matched: Matched) -> Tensor:
        """Return the mean over the queries whose frozen features are known."""
        assert matched.keys is not None
        assert matched.teacher_rows is not None
        rows = F.normalize(exact(matched.teacher_rows), dim=1)
        known = rows.any(dim=1)  # as in the official code, rows without a feature sit out
        rows = rows[known]
        with full_precision(rows.device):
            similarity = rows @ rows.T
        return semantic_tolerant(
            matched.queries[known],
            matched.keys[known],
            similarity,
            min_quantile=self.min_quantile,
            temperature=self.temperature,
            balanced=self.balanced,
        )
