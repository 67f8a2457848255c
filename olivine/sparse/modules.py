"""Layers on sparse tensors, with MinkowskiEngine's parameter names and layouts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from olivine.sparse.batch_norm import RowBatchNorm
from olivine.sparse.grid import SparseTensor


class Convolution(nn.Module):
    """A convolution with MinkowskiEngine's `kernel` (offsets, inputs, outputs), x fastest.

    `stride` 1 keeps the cells (odd `size`); 2 goes to the next coarser level and 0.5 back to the
    finer one (`size` 2). Of size 1 it is a linear layer and its kernel is (inputs, outputs).
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: float = 1):
        super().__init__()
        assert (size == 2) if stride in (2, 0.5) else (stride == 1 and size % 2)
        self.step = {1: 0, 2: 1, 0.5: -1}[stride]
        shape = (inputs, outputs) if size == 1 else (size**3, inputs, outputs)
        self.kernel = nn.Parameter(torch.empty(shape))
        # MinkowskiEngine's start, which the published networks had: uniform by the inputs, or
        # by the outputs where transposed.
        bound = 1 / math.sqrt(size**3 * (outputs if stride < 1 else inputs))
        nn.init.uniform_(self.kernel, -bound, bound)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return the convolved tensor, on the level the stride leads to."""
        if self.kernel.ndim == 2:
            return tensor.carry(tensor.features @ self.kernel)
        target = tensor.level + self.step
        features = tensor.grid.convolve(tensor.features, self.kernel, tensor.level, target)
        return SparseTensor(features, target, tensor.grid)


class BatchNorm(nn.Module):
    """`RowBatchNorm` under MinkowskiEngine's name `bn`."""

    def __init__(self, channels: int, momentum: float):
        super().__init__()
        self.bn = RowBatchNorm(channels, momentum=momentum)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return the tensor with normalised features."""
        return tensor.carry(self.bn(tensor.features))


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
