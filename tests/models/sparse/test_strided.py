"""The oracles are the definition, cell by cell, and torch's dense convolution in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.data.geometry.cell_keys import unpack
from olivine.models.sparse.convolution import convolve
from olivine.models.sparse.grid import TorchGrid
from olivine.models.sparse.kernel_maps import Cells, occupied_cells
from olivine.models.sparse.strided import output_shape, strided

TOLERANCE = 1e-10
# shape, kernel size, stride and padding, all in x, y, z
WINDOWS = {
    "conv2 of VoxelNet": ((8, 9, 10), (3, 3, 3), (2, 2, 2), (1, 1, 1)),
    "conv4 of VoxelNet": ((9, 8, 7), (3, 3, 3), (2, 2, 2), (1, 1, 0)),
    "conv_out of VoxelNet": ((5, 6, 5), (1, 1, 3), (1, 1, 2), (0, 0, 0)),
    "tiles": ((7, 8, 9), (2, 2, 2), (2, 2, 2), (0, 0, 0)),
    "all different": ((7, 8, 9), (3, 2, 1), (1, 2, 3), (2, 1, 0)),
    "gaps": ((9, 7, 8), (1, 2, 2), (2, 3, 4), (0, 0, 1)),
    "wide": ((6, 7, 5), (5, 3, 4), (3, 1, 2), (2, 1, 3)),
}


def case(shape, inputs, size, *, count=60):
    """Return distinct cells in random order, features and a kernel."""
    generator = torch.Generator().manual_seed(0)
    limits = torch.tensor([2, *shape])
    cells = (torch.rand(count, 4, generator=generator) * limits).long()
    cells = torch.unique(cells, dim=0)
    cells = cells[torch.randperm(len(cells), generator=generator)]
    offsets = size[0] * size[1] * size[2]
    kernel = torch.randn(offsets, inputs, 5, generator=generator, dtype=torch.float64)
    features = torch.randn(len(cells), inputs, generator=generator, dtype=torch.float64)
    return cells, features.requires_grad_(), kernel.requires_grad_()


def dense(features, cells, shape):
    volume = features.new_zeros(2, *reversed(shape), features.shape[1])
    frame, x, y, z = cells.unbind(1)
    return volume.index_put((frame, z, y, x), features).permute(0, 4, 1, 2, 3)


def dense_convolution(volume, kernel, size, stride, padding):
    weight = kernel.view(*reversed(size), *kernel.shape[1:]).permute(4, 3, 0, 1, 2)
    return F.conv3d(volume, weight, stride=stride[::-1], padding=padding[::-1])


def gradients(output, *inputs):
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    return torch.autograd.grad((output * weights).sum(), inputs)


@pytest.mark.parametrize("inputs", [3, 6])  # up to 4 go through a table
@pytest.mark.parametrize("window", WINDOWS)
def test_strided_equals_dense(window, inputs):
    shape, *window = WINDOWS[window]
    cells, features, kernel = case(shape, inputs, window[0])
    out, kernel_map = strided(occupied_cells(cells), shape, *window)
    output = convolve(features, kernel, kernel_map)
    volume = dense_convolution(dense(features, cells, shape), kernel, *window)
    frame, x, y, z = unpack(out.keys).unbind(1)
    expected = volume[frame, :, z, y, x]
    torch.testing.assert_close(output, expected, rtol=0, atol=TOLERANCE)
    inputs = features, kernel
    for ours, theirs in zip(gradients(output, *inputs), gradients(expected, *inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("window", WINDOWS)
def test_output_cells_are_those_that_see_an_occupied_one(window):
    shape, *window = WINDOWS[window]
    cells, _, kernel = case(shape, 1, window[0], count=12)
    out, _ = strided(occupied_cells(cells), shape, *window)
    occupied = dense(torch.ones(len(cells), 1), cells, shape)
    seen = dense_convolution(occupied, torch.ones(len(kernel), 1, 1), *window) > 0
    assert output_shape(shape, *window) == tuple(reversed(seen.shape[2:]))
    frame, x, y, z = unpack(out.keys).unbind(1)
    assert seen[frame, 0, z, y, x].all()
    assert len(out) == seen.sum()
    assert (out.keys[1:] > out.keys[:-1]).all()


triple = st.tuples(*[st.integers(1, 3)] * 3)
cell = st.tuples(st.integers(0, 2), *[st.integers(0, 4)] * 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(cell, min_size=1, max_size=12, unique=True), triple, triple, triple)
def test_the_map_is_all_pairs_of_the_definition(cells, size, stride, padding):
    shape, padding = (5, 5, 5), tuple(pad - 1 for pad in padding)
    out, kernel_map = strided(occupied_cells(torch.tensor(cells)), shape, size, stride, padding)
    limits = output_shape(shape, size, stride, padding)
    expected = set()
    for target in itertools.product(range(3), *(range(max(n, 0)) for n in limits)):
        for k in itertools.product(*(range(n) for n in size)):
            seen = tuple(target[1 + a] * stride[a] - padding[a] + k[a] for a in range(3))
            if (target[0], *seen) in cells:
                offset = k[0] + size[0] * (k[1] + size[1] * k[2])
                expected.add((offset, (target[0], *seen), target))
    targets = [tuple(target) for target in unpack(out.keys).tolist()]
    pairs = [
        (offset, cells[s], targets[t])
        for offset, sources, rows in kernel_map.pieces(None)
        for s, t in zip(sources.tolist(), rows.tolist(), strict=True)
    ]
    assert set(pairs) == expected
    assert len(pairs) == len(expected)
    assert (kernel_map.num_sources, kernel_map.num_targets) == (len(cells), len(targets))


def test_tiling_by_two_is_the_map_between_levels():
    cells, _, _ = case((8, 8, 8), 1, (2, 2, 2))
    _, ours = strided(occupied_cells(cells), (8, 8, 8), (2, 2, 2), (2, 2, 2), (0, 0, 0))
    other = TorchGrid(cells).kernel_map(8, 0, 1)
    assert ours.counts == other.counts
    for (_, *first), (_, *second) in zip(ours.pieces(None), other.pieces(None), strict=True):
        assert set(zip(*(t.tolist() for t in first), strict=True)) == set(
            zip(*(t.tolist() for t in second), strict=True)
        )


def test_gradcheck():
    shape, *window = WINDOWS["conv4 of VoxelNet"]
    cells, features, kernel = case(shape, 5, window[0], count=5)
    _, kernel_map = strided(occupied_cells(cells), shape, *window)
    kernel = kernel[..., :2].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda f, k: convolve(f, k, kernel_map), (features, kernel))


def test_frames_do_not_touch():
    shape, *window = WINDOWS["wide"]
    cells, features, kernel = case(shape, 6, window[0])
    together, kernel_map = strided(occupied_cells(cells), shape, *window)
    first = cells[:, 0] == 0
    alone, map_alone = strided(occupied_cells(cells[first]), shape, *window)
    mine = unpack(together.keys)[:, 0] == 0
    assert torch.equal(together.keys[mine], alone.keys)
    torch.testing.assert_close(
        convolve(features, kernel, kernel_map)[mine], convolve(features[first], kernel, map_alone)
    )


@pytest.mark.parametrize("inputs", [1, 6])
def test_no_cells(inputs):
    none = Cells(torch.zeros(0, dtype=torch.long), None)
    out, kernel_map = strided(none, (8, 8, 8), (3, 3, 3), (2, 2, 2), (1, 1, 1))
    kernel = torch.randn(27, inputs, 3, requires_grad=True)
    output = convolve(torch.zeros(0, inputs), kernel, kernel_map)
    output.sum().backward()
    assert len(out) == 0
    assert output.shape == (0, 3)
    assert torch.equal(kernel.grad, torch.zeros_like(kernel))


def test_a_kernel_that_does_not_fit_the_grid_leaves_no_cells():
    cells = occupied_cells(torch.tensor([[0, 1, 1, 1]]))
    out, kernel_map = strided(cells, (4, 4, 2), (1, 1, 3), (1, 1, 2), (0, 0, 0))
    assert len(out) == sum(kernel_map.counts) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_equals_cpu():
    shape, *window = WINDOWS["conv4 of VoxelNet"]
    cells, features, kernel = case(shape, 6, window[0])
    expected, map_here = strided(occupied_cells(cells), shape, *window)
    out, map_there = strided(occupied_cells(cells.cuda()), shape, *window)
    assert torch.equal(out.keys.cpu(), expected.keys)
    torch.testing.assert_close(
        convolve(features.cuda(), kernel.cuda(), map_there).cpu(),
        convolve(features, kernel, map_here),
    )
