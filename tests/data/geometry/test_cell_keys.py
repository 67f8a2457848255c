import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from olivine.core.errors import UserError
from olivine.data.geometry.cell_keys import HALF, MARGIN, offset_key, pack, unpack

FAR = HALF - MARGIN - 1
axis = st.integers(-FAR, FAR)
cell = st.tuples(st.integers(0, 1000), axis, axis, axis)


@given(st.lists(cell, min_size=1))
def test_unpack_returns_what_was_packed(cells):
    coordinates = torch.tensor(cells)
    assert torch.equal(unpack(pack(coordinates)), coordinates)


@given(cell, st.tuples(*[st.integers(-MARGIN, MARGIN)] * 3))
def test_offsets_add_to_keys_even_at_the_rim(cell, offset):
    key = pack(torch.tensor([cell])) + offset_key(*offset)
    moved = [a + b for a, b in zip(cell[1:], offset, strict=True)]
    assert unpack(key)[0].tolist() == [cell[0], *moved]


@given(st.lists(cell, min_size=2))
def test_keys_order_by_frame_then_z_then_y_then_x(cells):
    keys = pack(torch.tensor(cells)).tolist()
    by_key = [cell for _, cell in sorted(zip(keys, cells, strict=True))]
    assert by_key == sorted(cells, key=lambda c: (c[0], c[3], c[2], c[1]))


@pytest.mark.parametrize("far", [FAR + 1, -FAR - 1])
def test_cells_too_far_out_are_told_to_the_user(far):
    with pytest.raises(UserError, match="larger voxels"):
        pack(torch.tensor([[0, 0, far, 0]]))


def test_no_cells():
    assert unpack(pack(torch.zeros(0, 4, dtype=torch.int32))).shape == (0, 4)
