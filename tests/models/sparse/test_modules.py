import math

import pytest
import torch

from olivine.models.sparse.grid import SparseTensor, TorchGrid
from olivine.models.sparse.modules import BatchNorm, Convolution, add, concatenate, relu

CELLS = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 6, 0, 0], [1, 0, 0, 0]])


def tensor(channels=6):
    features = torch.randn(len(CELLS), channels, generator=torch.Generator().manual_seed(0))
    return SparseTensor(features, 0, TorchGrid(CELLS))


@pytest.mark.parametrize(
    ("size", "step", "shape"),
    [(3, 0, (27, 6, 4)), (2, 1, (8, 6, 4)), (2, -1, (8, 6, 4)), (1, 0, (6, 4))],
)
def test_kernels_have_minkowski_engine_s_shape_and_start(size, step, shape):
    torch.manual_seed(0)
    kernel = Convolution(6, 4, size, step).kernel.detach()
    bound = 1 / math.sqrt(size**3 * (4 if step == -1 else 6))
    assert kernel.shape == shape
    assert kernel.abs().max() <= bound
    assert kernel.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.25)


def test_size_one_is_a_linear_layer():
    layer, source = Convolution(6, 4, 1), tensor()
    assert torch.equal(layer(source).features, source.features @ layer.kernel)


def test_down_and_up_again_returns_to_the_same_cells():
    coarse = Convolution(6, 4, 2, 1)(tensor())
    assert (coarse.level, len(coarse.features)) == (1, 3)
    fine = Convolution(4, 5, 2, -1)(coarse)
    assert (fine.level, fine.features.shape) == (0, (4, 5))


def test_features_change_and_cells_stay():
    source = tensor()
    both = concatenate(source, add(source, source))
    assert torch.equal(both.features[:, 6:], 2 * source.features)
    assert both.grid is source.grid
    assert relu(both).features.min() >= 0


def test_batch_norm_bears_minkowski_engine_s_names():
    assert set(BatchNorm(3, 0.1).state_dict()) == {
        f"bn.{name}"
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
