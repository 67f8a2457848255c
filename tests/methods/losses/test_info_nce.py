import math

import pytest
import torch
import torch.nn.functional as F

from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.matched import Matched

ROWS = F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=1)


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


def test_the_own_key_may_lie_anywhere():
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    keys = ROWS.roll(1, 0)
    found = info_nce(ROWS[order], keys, 0.07, own=order)
    torch.testing.assert_close(found, info_nce(ROWS, keys, 0.07))


def test_gathered_keys_of_one_process_are_those_of_all_its_groups():
    keys, ids = ROWS.roll(1, 0), torch.zeros(12, dtype=torch.long)
    groups = torch.arange(12) // 4 + 5
    module = InfoNCE(gather_keys=True).build(8, 16)
    module.observe(Matched(ROWS, keys, ids, groups))
    losses = []
    for group in (5, 6, 7):
        of = groups == group
        losses.append(module(Matched(ROWS[of], keys[of], ids[of], groups[of])))
    torch.testing.assert_close(torch.stack(losses).mean(), info_nce(ROWS, keys, 0.07))
