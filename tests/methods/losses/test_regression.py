import torch
import torch.nn.functional as F

from olivine.methods.losses.regression import Regression
from olivine.methods.losses.regression.loss import mean_distance
from olivine.methods.matched import Matched

GENERATOR = torch.Generator().manual_seed(0)
QUERIES = F.normalize(torch.randn(20, 8, generator=GENERATOR), dim=1)
KEYS = F.normalize(torch.randn(20, 8, generator=GENERATOR), dim=1)


def test_it_is_the_mean_of_root_two_minus_two_cosines():
    ids = torch.zeros(20, dtype=torch.long)
    expected = (2 - 2 * (QUERIES * KEYS).sum(dim=1)).sqrt().mean()
    found = Regression().build(8, 4)(Matched(QUERIES, KEYS, ids, ids))
    torch.testing.assert_close(found, expected)


def test_a_pair_at_distance_zero_has_a_gradient_of_zero():
    rows = QUERIES.clone().requires_grad_()
    keys = torch.cat([QUERIES[:10], KEYS[10:]])
    mean_distance(rows, keys).backward()
    assert (rows.grad[:10] == 0).all()
    assert rows.grad[10:].isfinite().all()
    assert (rows.grad[10:].norm(dim=1) > 0).all()


def test_no_pair_is_zero():
    rows = QUERIES[:0].clone().requires_grad_()
    mean_distance(rows, KEYS[:0]).backward()
    assert rows.grad.shape == (0, 8)
