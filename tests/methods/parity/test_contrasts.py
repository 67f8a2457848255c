"""The identities of method.md §4.1 and §4.2 between the contrastive losses."""

import math

import pytest
import torch
import torch.nn.functional as F

from olivine.methods.losses import log_sum_exp as contrast
from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.losses.sup_con.loss import sup_con

NUM = 50
GENERATOR = torch.Generator().manual_seed(0)
QUERIES, KEYS = (
    F.normalize(torch.randn(NUM, 16, generator=GENERATOR, dtype=torch.double), dim=1)
    for _ in range(2)
)
CLASSES = torch.randint(0, 5, (NUM,), generator=GENERATOR)


@pytest.fixture(params=["dense", "tiled"], autouse=True)
def _way(request, monkeypatch):
    if request.param == "tiled":
        monkeypatch.setitem(contrast.TILE_SIDE, "cpu", 16)


def test_info_nce_is_its_definition():
    similar = torch.exp(QUERIES @ KEYS.T / 0.07)
    expected = -(similar.diagonal() / similar.sum(dim=1)).log().mean()
    torch.testing.assert_close(info_nce(QUERIES, KEYS, 0.07), expected)


@pytest.mark.parametrize("mean_over_positives", [False, True])
def test_sup_con_is_its_definition(mean_over_positives):
    similar = torch.exp(QUERIES @ KEYS.T / 0.07)
    same = (CLASSES[:, None] == CLASSES[None]).double()
    share = (similar * same).sum(1) / similar.sum(1)
    if mean_over_positives:
        share = share / same.sum(1)
    found = sup_con(QUERIES, KEYS, CLASSES, 0.07, mean_over_positives)
    torch.testing.assert_close(found, -share.log().mean())


def test_distinct_classes_make_sup_con_info_nce():
    distinct = torch.randperm(NUM, generator=GENERATOR)
    torch.testing.assert_close(
        sup_con(QUERIES, KEYS, distinct, 0.07), info_nce(QUERIES, KEYS, 0.07)
    )


def test_a_single_class_is_zero_and_in_the_papers_form_the_logarithm_of_the_number():
    single = torch.zeros(NUM, dtype=torch.long)
    assert sup_con(QUERIES, KEYS, single, 0.07).item() == pytest.approx(0.0, abs=1e-12)
    paper = sup_con(QUERIES, KEYS, single, 0.07, mean_over_positives=True)
    assert paper.item() == pytest.approx(math.log(NUM))


def test_the_papers_form_of_sup_con_has_the_gradient_of_the_codes():
    gradients = []
    for mean in (False, True):
        rows = QUERIES.clone().requires_grad_()
        sup_con(rows, KEYS, CLASSES, 0.07, mean).backward()
        gradients.append(rows.grad)
    torch.testing.assert_close(*gradients)
