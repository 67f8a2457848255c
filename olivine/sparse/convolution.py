"""Sparse convolution in plain PyTorch: gather, multiply, add, one kernel offset at a time.

Two or three large matrix products per offset keep the work in BLAS and the memory at one offset's
rows; a table of all neighbours would multiply by zeros two times out of three.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from olivine.sparse.kernel_maps import KernelMap

MAX_TABLE_CHANNELS = 4  # with so few inputs one thin product beats a scatter per offset


def convolve(
    features: Float[Tensor, "sources inputs"],
    kernel: Float[Tensor, "offsets inputs outputs"],
    kernel_map: KernelMap,
) -> Float[Tensor, "targets outputs"]:
    """Return out[t] = Σ features[s] @ kernel[k] over the map's (s, t, k).

    Under autocast the products are taken in its precision and summed in float32, as in a dense
    convolution.
    """
    device = features.device.type
    if torch.is_autocast_enabled(device) and features.dtype != torch.float64:
        precision = torch.get_autocast_dtype(device)
        features, kernel = features.to(precision), kernel.to(precision)
    if features.shape[1] <= MAX_TABLE_CHANNELS:
        return _convolve_table(features, kernel, kernel_map)
    return _Convolution.apply(features, kernel, kernel_map)  # type: ignore[no-untyped-call]


def _convolve_table(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Lay every target's neighbours side by side, zeros where there is none."""
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
        return _gather_multiply_add(features, kernel, kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_features = of_kernel = None
        if ctx.needs_input_grad[0]:
            back = ctx.kernel_map.reversed()
            of_features = _gather_multiply_add(gradient, kernel.transpose(1, 2), back)
        if ctx.needs_input_grad[1]:
            of_kernel = _kernel_gradient(features, gradient, kernel, ctx.kernel_map)
        return of_features, of_kernel, None


def _gather_multiply_add(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    outputs = kernel.shape[2]
    precision = features.dtype if features.dtype == torch.float64 else torch.float32
    if kernel_map.identity is None:
        total = features.new_zeros(kernel_map.num_targets, outputs, dtype=precision)
    else:
        total = (features @ kernel[kernel_map.identity]).to(precision)
    gathered, product = _scratch(features, kernel_map), _scratch(features, kernel_map, outputs)
    for offset, sources, targets in kernel_map.pairs():
        rows, result = gathered[: len(sources)], product[: len(sources)]
        torch.index_select(features, 0, sources, out=rows)
        torch.mm(rows, kernel[offset], out=result)
        total.index_add_(0, targets, result.to(precision))
    return total.to(features.dtype)


def _kernel_gradient(
    features: Tensor, gradient: Tensor, kernel: Tensor, kernel_map: KernelMap
) -> Tensor:
    of_kernel = torch.zeros_like(kernel)
    if kernel_map.identity is not None:
        torch.mm(features.t(), gradient, out=of_kernel[kernel_map.identity])
    inputs, outputs = _scratch(features, kernel_map), _scratch(gradient, kernel_map)
    for offset, sources, targets in kernel_map.pairs():
        rows, results = inputs[: len(sources)], outputs[: len(sources)]
        torch.index_select(features, 0, sources, out=rows)
        torch.index_select(gradient, 0, targets, out=results)
        torch.mm(rows.t(), results, out=of_kernel[offset])
    return of_kernel


def _scratch(like: Tensor, kernel_map: KernelMap, channels: int | None = None) -> Tensor:
    """Return memory for the rows of any one offset: fresh pages cost more than the gather."""
    rows = max(kernel_map.counts, default=0)
    return like.new_empty(rows, channels if channels is not None else like.shape[1])
