import pytest
import torch
import torch.nn.functional as F

from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.losses.semantic_tolerant import SemanticTolerant
from olivine.methods.losses.semantic_tolerant import loss as module
from olivine.methods.losses.semantic_tolerant.loss import (
    logit_weights,
    query_weights,
    semantic_tolerant,
)
from olivine.methods.matched import Matched

GENERATOR = torch.Generator().manual_seed(0)
QUERIES, KEYS, TEACHER = (
    F.normalize(torch.randn(30, 8, generator=GENERATOR), dim=1) for _ in range(3)
)
SIMILARITY = TEACHER @ TEACHER.T


def settings(min_quantile=0.1, balanced=True):
    return {"min_quantile": min_quantile, "temperature": 0.07, "balanced": balanced}


def test_without_look_alikes_it_is_info_nce():
    nothing_alike = torch.eye(30)
    for min_quantile in (0.0, 0.1):
        found = semantic_tolerant(QUERIES, KEYS, nothing_alike, **settings(min_quantile))
        torch.testing.assert_close(found, info_nce(QUERIES, KEYS, 0.07))


def test_the_quantile_spares_the_most_similar_of_each_row_alone():
    weights = logit_weights(SIMILARITY, 0.2)
    assert weights.unique().tolist() == [0, 1]
    assert (weights.diagonal() == 1).all()
    for row, similar in zip(weights, SIMILARITY, strict=True):
        spared = similar[row == 0]
        assert len(spared) >= 4
        assert spared.min() >= similar[(row == 1) & (similar < 0.999)].max()


def test_a_quantile_over_more_numbers_than_torch_takes_at_once_is_the_same(monkeypatch):
    whole = logit_weights(SIMILARITY, 0.1)
    monkeypatch.setattr(module, "QUANTILE_LIMIT", 100)
    assert torch.equal(logit_weights(SIMILARITY, 0.1), whole)


def test_queries_with_equally_many_look_alikes_weigh_one():
    assert (query_weights(torch.eye(4)) == 1).all()


def test_the_similarity_has_no_gradient_and_the_rows_do():
    queries, similarity = QUERIES.clone().requires_grad_(), SIMILARITY.clone().requires_grad_()
    semantic_tolerant(queries, KEYS, similarity, **settings()).backward()
    assert similarity.grad is None
    assert queries.grad.abs().sum() > 0


def test_rows_without_a_teacher_feature_sit_out():
    teacher = 3 * TEACHER
    teacher[::5] = 0
    ids, known = torch.zeros(30, dtype=torch.long), torch.arange(30) % 5 != 0
    found = SemanticTolerant().build(8, 4)(Matched(QUERIES, KEYS, ids, ids, teacher_rows=teacher))
    expected = semantic_tolerant(
        QUERIES[known], KEYS[known], SIMILARITY[known][:, known], **settings(0.01)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("balanced", [True, False])
def test_no_pair_is_zero(balanced):
    nothing = QUERIES[:0]
    empty = SIMILARITY[:0, :0]
    assert semantic_tolerant(nothing, nothing, empty, **settings(balanced=balanced)) == 0
