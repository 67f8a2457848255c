import math

import pytest
import torch
import torch.nn.functional as F

from olivine.losses.info_nce import InfoNCE, info_nce
from olivine.tensors import Matched

ROWS = F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=1)


def test_equals_its_definition():
    keys = ROWS.flip(0)
    similar = torch.exp(ROWS @ keys.T / 0.07)
    expected = -(similar.diagonal() / similar.sum(dim=1)).log().mean()
    torch.testing.assert_close(info_nce(ROWS, keys, 0.07), expected)


def test_equal_rows_give_the_logarithm_of_their_number():
    same = ROWS[:1].expand(12, 8)
    assert info_nce(same, same, 0.07).item() == pytest.approx(math.log(12), rel=1e-6)


def test_a_common_permutation_of_pairs_changes_nothing():
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    keys = ROWS.roll(1, 0)
    torch.testing.assert_close(info_nce(ROWS[order], keys[order], 0.07), info_nce(ROWS, keys, 0.07))


def test_half_precision_rows_do_not_overflow():
    module = InfoNCE(temperature=0.01).build(8, 16)
    ids = torch.zeros(12, dtype=torch.long)
    value = module(Matched(ROWS.half(), ROWS.half(), ids, ids))
    assert value.isfinite()
    assert value.dtype == torch.float32
