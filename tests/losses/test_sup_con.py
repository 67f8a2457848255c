import math

import pytest
import torch
import torch.nn.functional as F

from olivine.losses.info_nce import info_nce
from olivine.losses.sup_con import SupCon, sup_con
from olivine.tensors import Matched
from olivine.types import IGNORE

GENERATOR = torch.Generator().manual_seed(0)
QUERIES = F.normalize(torch.randn(20, 8, generator=GENERATOR), dim=1)
KEYS = F.normalize(torch.randn(20, 8, generator=GENERATOR), dim=1)
CLASSES = torch.randint(0, 4, (20,), generator=GENERATOR)


def test_equals_its_definition():
    similar = torch.exp(QUERIES @ KEYS.T / 0.07)
    same = (CLASSES[:, None] == CLASSES[None]).float()
    expected = -((similar * same).sum(1) / similar.sum(1)).log().mean()
    torch.testing.assert_close(sup_con(QUERIES, KEYS, CLASSES, 0.07), expected)


def test_distinct_classes_make_it_info_nce():
    distinct = torch.arange(20)
    torch.testing.assert_close(
        sup_con(QUERIES, KEYS, distinct, 0.07), info_nce(QUERIES, KEYS, 0.07)
    )


def test_a_single_class_is_zero_and_in_the_papers_form_the_logarithm_of_the_number():
    single = torch.zeros(20, dtype=torch.long)
    assert sup_con(QUERIES, KEYS, single, 0.07).item() == pytest.approx(0.0, abs=1e-6)
    paper = sup_con(QUERIES, KEYS, single, 0.07, mean_over_positives=True)
    assert paper.item() == pytest.approx(math.log(20), rel=1e-6)


def test_the_papers_form_has_the_same_gradient():
    gradients = []
    for mean in (False, True):
        rows = QUERIES.clone().requires_grad_()
        sup_con(rows, KEYS, CLASSES, 0.07, mean).backward()
        gradients.append(rows.grad)
    torch.testing.assert_close(*gradients)


def test_ignored_pairs_are_neither_positive_nor_negative():
    classes = CLASSES.clone()
    classes[::3] = IGNORE
    known = classes != IGNORE
    module = SupCon().build(8, 4)
    whole = module(Matched(QUERIES, KEYS, classes, CLASSES))
    torch.testing.assert_close(whole, sup_con(QUERIES[known], KEYS[known], classes[known], 0.07))


def test_nothing_but_ignored_pairs_is_zero_with_a_gradient():
    rows = QUERIES.clone().requires_grad_()
    nothing = torch.full((20,), IGNORE)
    value = SupCon().build(8, 4)(Matched(rows, KEYS, nothing, CLASSES))
    value.backward()
    assert value.item() == 0.0
    assert (rows.grad == 0).all()
