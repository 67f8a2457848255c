"""The oracle is torch's dense convolution in float64 on the same cells."""

import pytest
import torch
import torch.nn.functional as F

from olivine.models.sparse.grid import TorchGrid

SIDE = 10  # of the dense volume; even, so that strides tile it
TOLERANCE = 1e-10


def random_cells(generator, count=250, frames=2):
    """Return distinct cells in random order, their smallest index at 0 on every axis."""
    cells = torch.randint(0, SIDE, (count, 4), generator=generator)
    cells[:, 0] %= frames
    cells = torch.unique(cells, dim=0)
    return cells[torch.randperm(len(cells), generator=generator)]


def dense(features, cells, side=SIDE):
    volume = features.new_zeros(2, side, side, side, features.shape[1])
    frame, x, y, z = cells.unbind(1)
    return volume.index_put((frame, z, y, x), features).permute(0, 4, 1, 2, 3)


def at(volume, cells):
    frame, x, y, z = cells.unbind(1)
    return volume[frame, :, z, y, x]


def dense_kernel(kernel, size):
    """Return (outputs, inputs, z, y, x) of a kernel whose offsets count x fastest."""
    return kernel.view(size, size, size, *kernel.shape[1:]).permute(4, 3, 0, 1, 2)


def case(inputs, outputs, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    cells = random_cells(generator)
    kernel = torch.randn(size**3, inputs, outputs, generator=generator, dtype=torch.float64)
    features = torch.randn(len(cells), inputs, generator=generator, dtype=torch.float64)
    return cells, features.requires_grad_(), kernel.requires_grad_()


def gradients(output, *inputs):
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    return torch.autograd.grad((output * weights).sum(), inputs)


def assert_same(output, expected, *inputs):
    torch.testing.assert_close(output, expected, rtol=0, atol=TOLERANCE)
    for ours, theirs in zip(gradients(output, *inputs), gradients(expected, *inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


def parents(cells):
    """Return the coarser cells in the order the grid gives them: frame, z, y, x."""
    coarse = torch.unique(torch.cat([cells[:, :1], cells[:, 1:] // 2], dim=1), dim=0)
    order = sorted(range(len(coarse)), key=lambda i: [coarse[i, j] for j in (0, 3, 2, 1)])
    return coarse[order]


@pytest.mark.parametrize("inputs", [1, 3, 6])  # up to 4 go through a table
@pytest.mark.parametrize("size", [3, 5])
def test_submanifold_equals_dense(inputs, size):
    cells, features, kernel = case(inputs, 7, size)
    output = TorchGrid(cells).convolve(features, kernel, 0, 0)
    volume = F.conv3d(dense(features, cells), dense_kernel(kernel, size), padding=size // 2)
    assert_same(output, at(volume, cells), features, kernel)


@pytest.mark.parametrize("inputs", [2, 6])
def test_strided_equals_dense(inputs):
    cells, features, kernel = case(inputs, 5, 2)
    output = TorchGrid(cells).convolve(features, kernel, 0, 1)
    volume = F.conv3d(dense(features, cells), dense_kernel(kernel, 2), stride=2)
    assert_same(output, at(volume, parents(cells)), features, kernel)


@pytest.mark.parametrize("inputs", [2, 6])
def test_transposed_equals_dense(inputs):
    cells, _, kernel = case(inputs, 5, 2)
    coarse = parents(cells)
    features = torch.randn(len(coarse), inputs, dtype=torch.float64, requires_grad=True)
    output = TorchGrid(cells).convolve(features, kernel, 1, 0)
    weight = dense_kernel(kernel, 2).transpose(0, 1)
    volume = F.conv_transpose3d(dense(features, coarse, SIDE // 2), weight, stride=2)
    assert_same(output, at(volume, cells), features, kernel)


def test_gradcheck():
    cells, features, kernel = case(5, 2, 3)
    few = (cells[:, 1:] < 4).all(dim=1)
    grid = TorchGrid(cells[few])
    inputs = features[few].detach().requires_grad_(), kernel
    assert torch.autograd.gradcheck(lambda f, k: grid.convolve(f, k, 0, 0), inputs)
    down = kernel[:8].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda f, k: grid.convolve(f, k, 0, 1), (inputs[0], down))


def test_cells_below_zero_are_tiled_like_those_above():
    cells, features, kernel = case(5, 2, 2)
    moved = cells + torch.tensor([0, -4, -6, -12])
    expected = TorchGrid(cells).convolve(features, kernel, 0, 1)
    torch.testing.assert_close(TorchGrid(moved).convolve(features, kernel, 0, 1), expected)


@pytest.mark.parametrize("inputs", [1, 6])
def test_frames_do_not_touch(inputs):
    cells, features, kernel = case(inputs, 4, 3)
    first = cells[:, 0] == 0
    together = TorchGrid(cells).convolve(features, kernel, 0, 0)
    alone = TorchGrid(cells[first]).convolve(features[first], kernel, 0, 0)
    torch.testing.assert_close(together[first], alone)


@pytest.mark.parametrize("inputs", [1, 6])
def test_permuted_rows_give_permuted_rows(inputs):
    cells, features, kernel = case(inputs, 4, 3)
    order = torch.randperm(len(cells))
    expected = TorchGrid(cells).convolve(features, kernel, 0, 0)[order]
    output = TorchGrid(cells[order]).convolve(features[order], kernel, 0, 0)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("inputs", [1, 6])
@pytest.mark.parametrize(("size", "target"), [(3, 0), (2, 1)])
def test_no_cells(inputs, size, target):
    kernel = torch.randn(size**3, inputs, 3, requires_grad=True)
    features = torch.zeros(0, inputs, requires_grad=True)
    grid = TorchGrid(torch.zeros(0, 4, dtype=torch.int32))
    output = grid.convolve(features, kernel, 0, target)
    output.sum().backward()
    assert output.shape == (0, 3)
    assert torch.equal(kernel.grad, torch.zeros_like(kernel))


@pytest.mark.parametrize("inputs", [1, 6])
def test_autocast_multiplies_in_half_and_keeps_gradients_whole(inputs):
    cells, features, kernel = case(inputs, 8, 3)
    features, kernel = features.float().detach(), kernel.float().detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = TorchGrid(cells).convolve(features, kernel, 0, 0)
    output.float().square().sum().backward()
    expected = TorchGrid(cells).convolve(features, kernel, 0, 0)
    assert output.dtype == torch.bfloat16
    assert kernel.grad.dtype == torch.float32
    assert (output - expected).norm() / expected.norm() < 0.01


def test_the_same_cell_twice_is_refused():
    with pytest.raises(AssertionError, match="once"):
        TorchGrid(torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_equals_cpu():
    cells, features, kernel = case(6, 7, 3)
    expected = TorchGrid(cells).convolve(features, kernel, 0, 0)
    output = TorchGrid(cells.cuda()).convolve(features.cuda(), kernel.cuda(), 0, 0)
    torch.testing.assert_close(output.cpu(), expected)
