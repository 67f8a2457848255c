"""Layers on sparse tensors, with MinkowskiEngine's parameter names and layouts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from olivine.models.sparse.batch_norm import RowBatchNorm
from olivine.models.sparse.grid import SparseTensor


class Convolution(nn.Module):
    """A convolution with MinkowskiEngine's `kernel` (offsets, inputs, outputs), x fastest.

    With a `step` of 0 it keeps the cells (`size` odd), with 1 it goes to the next coarser level
    with stride 2, with -1 it is transposed and goes back to the finer level (`size` 2). With a size
    of 1 it is a linear layer, whose kernel is (inputs, outputs).
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3, step: int = 0):
        super().__init__()
        assert size == 2 if step in (-1, 1) else (step == 0 and size % 2)
        self.step = step
        shape = (inputs, outputs) if size == 1 else (size**3, inputs, outputs)
        self.kernel = nn.Parameter(torch.empty(shape))
        # MinkowskiEngine's initialisation, as in the published networks: uniform by the number of
        # inputs, or of outputs where transposed.
        bound = 1 / math.sqrt(size**3 * (outputs if step < 0 else inputs))
        nn.init.uniform_(self.kernel, -bound, bound)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return the convolved tensor, on the level that `step` leads to."""
        if self.kernel.ndim == 2:
            return tensor.carry(tensor.features @ self.kernel)
        target = tensor.level + self.step
        features = tensor.grid.convolve(tensor.features, self.kernel, tensor.level, target)
        return tensor.move(features, target)


class BatchNorm(nn.Module):
    """`RowBatchNorm` under MinkowskiEngine's name `bn`."""

    def __init__(self, channels: int, momentum: float):
        super().__init__()
        self.bn = RowBatchNorm(channels, momentum=momentum)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return the tensor with normalised features."""
        return tensor.carry(self.bn(tensor.features, tensor.row_count))


def relu(tensor: SparseTensor) -> SparseTensor:
    """Return the tensor with negative features set to zero, in place."""
    return tensor.carry(F.relu(tensor.features, inplace=True))


def concatenate(first: SparseTensor, second: SparseTensor) -> SparseTensor:
    """Return both tensors' channels on their common cells."""
    return first.carry(torch.cat([first.features, second.features], dim=1))


def add(first: SparseTensor, second: SparseTensor) -> SparseTensor:
    """Return the sum of two tensors on the same cells."""
    features: Tensor = first.features + second.features
    return first.carry(features)
