import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.models.sparse.grid import TorchGrid
from olivine.models.sparse.kernel_maps import submanifold

cell = st.tuples(st.integers(0, 1), *[st.integers(-3, 3)] * 3)
cells = st.lists(cell, min_size=1, max_size=40, unique=True).map(torch.tensor)


def pairs_of(kernel_map):
    """Return {(offset, source, target)} of a map, the identity written out."""
    pairs = {
        (offset, s, t)
        for offset, sources, targets in kernel_map.pieces(None)
        for s, t in zip(sources.tolist(), targets.tolist(), strict=True)
    }
    if kernel_map.identity is not None:
        pairs |= {(kernel_map.identity, i, i) for i in range(kernel_map.num_targets)}
    return pairs


@settings(max_examples=50, deadline=None)
@given(cells)
def test_submanifold_map_is_all_pairs_at_each_offset(coordinates):
    rows = {tuple(cell): row for row, cell in enumerate(coordinates.tolist())}
    expected = {
        (dx + 1 + 3 * (dy + 1) + 9 * (dz + 1), rows[f, x + dx, y + dy, z + dz], row)
        for (f, x, y, z), row in rows.items()
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
        for dz in (-1, 0, 1)
        if (f, x + dx, y + dy, z + dz) in rows
    }
    assert pairs_of(TorchGrid(coordinates).kernel_map(27, 0, 0)) == expected


@settings(max_examples=50, deadline=None)
@given(cells)
def test_each_cell_has_one_parent_and_parents_are_shared(coordinates):
    pairs = pairs_of(TorchGrid(coordinates).kernel_map(8, 0, 1))
    parent = {source: target for _, source, target in pairs}
    assert len(pairs) == len(parent) == len(coordinates)
    halves = [(f, x // 2, y // 2, z // 2) for f, x, y, z in coordinates.tolist()]
    for i, first in enumerate(halves):
        for j, second in enumerate(halves):
            assert (parent[i] == parent[j]) == (first == second)
    for offset, source, _ in pairs:
        _, x, y, z = coordinates[source].tolist()
        assert offset == x % 2 + 2 * (y % 2) + 4 * (z % 2)


def test_maps_are_built_once_and_shared_both_ways():
    grid = TorchGrid(torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 5, 0, 0]]))
    assert grid.kernel_map(27, 1, 1) is grid.kernel_map(27, 1, 1)
    assert grid.kernel_map(8, 0, 1) is grid.kernel_map(8, 0, 1)
    down, up = grid.kernel_map(8, 0, 1), grid.kernel_map(8, 1, 0)
    assert up.sources is down.targets
    assert up.targets is down.sources


def test_pieces_cut_a_map_without_losing_pairs():
    grid = TorchGrid(torch.cartesian_prod(*[torch.arange(n) for n in (1, 3, 4, 5)]))
    kernel_map = grid.kernel_map(27, 0, 0)
    pieces = list(kernel_map.pieces(7))
    assert max(len(sources) for _, sources, _ in pieces) == 7
    assert sum(len(sources) for _, sources, _ in pieces) == sum(kernel_map.counts)
    whole = submanifold(grid._cells[0], 3)
    assert pairs_of(whole) == {
        (offset, s, t)
        for offset, sources, targets in pieces
        for s, t in zip(sources.tolist(), targets.tolist(), strict=True)
    } | {(13, i, i) for i in range(60)}
