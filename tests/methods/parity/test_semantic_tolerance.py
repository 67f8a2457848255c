"""ST-SLidR's weights on a case computed by hand (method.md §7.1)."""

import torch
import torch.nn.functional as F

from olivine.methods.losses.semantic_tolerant.loss import (
    logit_weights,
    query_weights,
    semantic_tolerant,
)

GENERATOR = torch.Generator().manual_seed(0)
QUERIES, KEYS = (
    F.normalize(torch.randn(4, 16, generator=GENERATOR, dtype=torch.double), dim=1)
    for _ in range(2)
)
SIMILARITY = torch.tensor(
    [
        [1.0, 0.9, 0.2, -0.5],
        [0.9, 1.0, 0.6, 0.0],
        [0.2, 0.6, 1.0, 0.1],
        [-0.5, 0.0, 0.1, 1.0],
    ],
    dtype=torch.double,
)


def test_semantic_tolerances_logit_weights_by_hand():
    """Row 0 of 1 - similarity is 0, 0.1, 0.8, 1; its 0.4 quantile lies at 0.1 + 0.2 x 0.7."""
    hard = [[1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]]
    soft = [[1, 0.1, 0.8, 1], [0.1, 1, 0.4, 1], [0.8, 0.4, 1, 0.9], [1, 1, 0.9, 1]]
    assert logit_weights(SIMILARITY, 0.4).tolist() == hard
    torch.testing.assert_close(logit_weights(SIMILARITY, 0.0), torch.tensor(soft).double())


def test_semantic_tolerances_query_weights_by_hand():
    """Votes are 1.9, 2.5, 1.6 and 1: similarities of at least 0.5, the own included."""
    expected = torch.tensor([0.6, 0.0, 0.9, 1.5], dtype=torch.double) / 1.5
    torch.testing.assert_close(query_weights(SIMILARITY), expected)


def test_semantic_tolerance_multiplies_logits_and_weighs_queries():
    logits = QUERIES @ KEYS.T * logit_weights(SIMILARITY, 0.4) / 0.07
    assert logits[0, 1] == 0  # a spared negative still adds exp(0) to the sum
    losses = logits.logsumexp(1) - logits.diagonal()
    weights = query_weights(SIMILARITY)
    for balanced, expected in ((False, losses.mean()), (True, losses @ weights / weights.sum())):
        found = semantic_tolerant(
            QUERIES, KEYS, SIMILARITY, min_quantile=0.4, temperature=0.07, balanced=balanced
        )
        torch.testing.assert_close(found, expected)
