import torch
import torch.nn.functional as F

from olivine.data.records import IGNORE
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.losses.sup_con.loss import sup_con
from olivine.methods.matched import Matched

GENERATOR = torch.Generator().manual_seed(0)
QUERIES = F.normalize(torch.randn(20, 8, generator=GENERATOR), dim=1)
KEYS = F.normalize(torch.randn(20, 8, generator=GENERATOR), dim=1)
CLASSES = torch.randint(0, 4, (20,), generator=GENERATOR)


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


def test_candidates_may_have_classes_of_their_own():
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    keys, classes = torch.cat([KEYS, QUERIES])[:30], torch.cat([CLASSES, CLASSES])[:30]
    similar = torch.exp(QUERIES @ keys.T / 0.07)
    same = (CLASSES[:, None] == classes[None]).float()
    expected = -((similar * same).sum(1) / similar.sum(1)).log().mean()
    found = sup_con(QUERIES[order], keys, CLASSES[order], 0.07, key_classes=classes)
    torch.testing.assert_close(found, expected)
