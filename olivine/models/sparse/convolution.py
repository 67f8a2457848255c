"""Sparse convolution in plain PyTorch: gather, multiply and add, one kernel offset at a time.

Two or three large matrix products per offset keep the work in BLAS and the memory at one offset's
rows; a table of all neighbours would multiply by zeros two times out of three.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from olivine.models.sparse.kernel_maps import KernelMap

MAX_TABLE_CHANNELS = 4  # with so few inputs one thin product is faster than a scatter per offset
CPU_NUMBERS_AT_ONCE = 1 << 18  # a piece that fits the cache: 1.3 times as fast as a whole offset


def convolve(
    features: Float[Tensor, "sources inputs"],
    kernel: Float[Tensor, "offsets inputs outputs"],
    kernel_map: KernelMap,
) -> Float[Tensor, "targets outputs"]:
    """Return out[t] = Σ features[s] @ kernel[k] over the map's (s, t, k).

    Under autocast the products are computed in its precision and summed in float32, as in a dense
    convolution.
    """
    device = features.device.type
    if torch.is_autocast_enabled(device) and features.dtype != torch.float64:
        precision = torch.get_autocast_dtype(device)
        features, kernel = features.to(precision), kernel.to(precision)
    if features.shape[1] <= MAX_TABLE_CHANNELS:
        return _convolve_table(features, kernel, kernel_map)
    return _Convolution.apply(features, kernel, kernel_map)  # type: ignore[no-untyped-call] # torch: no hints


def _convolve_table(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve by one table of every target's neighbours, with zeros where there is none."""
    num_offsets, inputs, outputs = kernel.shape
    table = features.new_zeros(kernel_map.num_targets * num_offsets, inputs)
    table = table.index_copy(
        0, kernel_map.table_index, features.index_select(0, kernel_map.sources)
    ).view(kernel_map.num_targets, num_offsets, inputs)
    if kernel_map.identity is not None:
        table[:, kernel_map.identity] = features
    return table.flatten(1) @ kernel.reshape(num_offsets * inputs, outputs)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        if kernel_map.identity is None:
            shape = kernel_map.num_targets, kernel.shape[2]
            total = features.new_zeros(shape, dtype=_sum_dtype(features))
        else:
            total = (features @ kernel[kernel_map.identity]).to(_sum_dtype(features))
        gathered, product = _Scratch(features), _Scratch(features, kernel.shape[2])
        matrices = kernel.unbind()
        for offset, sources, targets in kernel_map.pieces(_rows_at_once(kernel)):
            rows = gathered.rows_of(features, sources)
            result = torch.mm(rows, matrices[offset], out=product.first(len(sources)))
            total.index_add_(0, targets, result.to(total.dtype))
        return total.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors
        of_features, of_kernel = _gradients(
            gradient.contiguous(), features, kernel, ctx.kernel_map, ctx.needs_input_grad
        )
        return of_features, of_kernel, None


def _gradients(
    gradient: Tensor,
    features: Tensor,
    kernel: Tensor,
    kernel_map: KernelMap,
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of features and kernel; the output's gradient is gathered once."""
    transposed, identity = kernel.transpose(1, 2).unbind(), kernel_map.identity
    of_features = None
    if needed[0] and identity is not None:
        of_features = (gradient @ transposed[identity]).to(_sum_dtype(features))
    elif needed[0]:
        of_features = torch.zeros_like(features, dtype=_sum_dtype(features))
    of_kernel = _Products(kernel) if needed[1] else None
    if of_kernel is not None and identity is not None:
        of_kernel.add(identity, features.t(), gradient)
    inputs, outputs, product = _Scratch(features), _Scratch(gradient), _Scratch(features)
    for offset, sources, targets in kernel_map.pieces(_rows_at_once(kernel)):
        results = outputs.rows_of(gradient, targets)
        if of_features is not None:
            back = torch.mm(results, transposed[offset], out=product.first(len(sources)))
            of_features.index_add_(0, sources, back.to(of_features.dtype))
        if of_kernel is not None:
            of_kernel.add(offset, inputs.rows_of(features, sources).t(), results)
    return (
        None if of_features is None else of_features.to(features.dtype),
        None if of_kernel is None else of_kernel.total().to(kernel.dtype),
    )


class _Products:
    """Sums of products, one per offset of a kernel.

    The first product is written, not added, because MinkUNet-34's kernels are 150 MB, which would
    be filled with zeros and read once more.
    """

    def __init__(self, kernel: Tensor):
        self._total = torch.empty_like(kernel, dtype=_sum_dtype(kernel))
        self._of_offset = self._total.unbind()
        self._begun: set[int] = set()

    def add(self, offset: int, left: Tensor, right: Tensor) -> None:
        """Add left @ right, in one pass unless the sum is more precise than they are."""
        total, simple = self._of_offset[offset], self._total.dtype == left.dtype
        if offset not in self._begun:
            self._begun.add(offset)
            torch.mm(left, right, out=total) if simple else total.copy_(left @ right)
        elif simple:
            total.addmm_(left, right)
        else:
            total += left @ right

    def total(self) -> Tensor:
        """Return all sums; an offset without a product has zeros."""
        for offset, total in enumerate(self._of_offset):
            if offset not in self._begun:
                total.zero_()
        return self._total


class _Scratch:
    """Memory for the rows of one piece, reused because new pages cost more than the gather."""

    def __init__(self, like: Tensor, channels: int | None = None):
        self._like = like
        self._channels = like.shape[1] if channels is None else channels
        self._memory = like.new_empty(0, self._channels)

    def first(self, count: int) -> Tensor:
        if count > len(self._memory):
            self._memory = self._like.new_empty(count, self._channels)
        return self._memory[:count]

    def rows_of(self, features: Tensor, index: Tensor) -> Tensor:
        return torch.index_select(features, 0, index, out=self.first(len(index)))


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _rows_at_once(kernel: Tensor) -> int | None:
    """Return the rows of a piece that fits the processor's cache; a GPU takes few large pieces."""
    if kernel.device.type != "cpu":
        return None
    return max(CPU_NUMBERS_AT_ONCE // max(kernel.shape[1:]), 1)
