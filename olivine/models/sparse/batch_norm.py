"""Batch norm over rows, with the same result on one process and on several.

torch's SyncBatchNorm refuses CPU tensors, and its float32 sums depend on the number of workers.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from olivine.core.errors import UserError


class RowCount:
    """The number of rows of all workers, for rows that several layers share.

    The first layer exchanges it, for which the processor waits for a GPU once; later ones, and a
    block that is computed again, know it. A network makes one for each of its levels and steps.
    """

    def __init__(self, here: int):
        self.here = here
        self._of_all: int | None = None

    def of_all(self, device: torch.device) -> int:
        """Return the number; every worker asks for it at the same place of its network."""
        if self._of_all is None:
            # Filled on the device: a tensor of a Python list is copied, and the copy waited for.
            count = torch.full((1,), self.here, dtype=torch.int64, device=device)
            torch.distributed.all_reduce(count)
            self._of_all = int(count.item())
        return self._of_all


@dataclass(frozen=True)
class Moments:
    """Statistics of the rows of all workers, per channel, in float64."""

    count: int
    mean: Float[Tensor, " channels"]
    variance: Float[Tensor, " channels"]  # biased: the mean of squares about the mean


class RowBatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose statistics, in training, are those of all workers' rows.

    In one process it is `nn.BatchNorm1d`. With several workers, the output, the running statistics
    and the gradient of the rows are those of one process with all rows; gradients of weight and
    bias are each worker's share of the sum, which DistributedDataParallel averages like any other.
    Without rows it does nothing; a single row cannot train and raises UserError.
    """

    statistics_of_all_workers = True  # see olivine.models.synchronised_norms

    def forward(
        self, input: Float[Tensor, "V channels"], count: RowCount | None = None
    ) -> Float[Tensor, "V channels"]:
        """Return normalised rows.

        `count` is that of all layers with these rows; without it this layer exchanges its own.
        """
        if not self.training:
            return super().forward(input)
        if num_workers() > 1:
            return normalise_together(self, input, count)
        if not len(input):
            return input
        _check_count(len(input))
        return super().forward(input)


def normalise_together(
    norm: _BatchNorm, rows: Float[Tensor, "V channels"], count: RowCount | None = None
) -> Float[Tensor, "V channels"]:
    """Return rows normalised by the statistics of all workers' rows, and update the running ones.

    `norm` is any of torch's batch norms, in training; see `RowBatchNorm` for what is promised.
    """
    num_rows = (count or RowCount(len(rows))).of_all(rows.device)
    if num_rows == 0:
        return rows
    _check_count(num_rows)
    moments = _moments_of_all(rows.detach(), num_rows)
    if norm.track_running_stats:
        _update(norm, moments)
    weight, bias = norm.weight, norm.bias
    if weight is None:
        precise = torch.promote_types(rows.dtype, torch.float32)
        weight = torch.ones(rows.shape[1], dtype=precise, device=rows.device)
    if bias is None:
        bias = torch.zeros_like(weight)
    return _Normalise.apply(rows, weight, bias, (moments, norm.eps))  # type: ignore[no-untyped-call] # torch: no hints


@torch.no_grad()
def _update(norm: _BatchNorm, moments: Moments) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share: Any = norm.momentum
    if share is None:  # torch's cumulative average; its count stays on the device
        share = norm.num_batches_tracked.to(norm.running_mean).reciprocal()
    unbiased = moments.variance * (moments.count / (moments.count - 1))
    norm.running_mean.lerp_(moments.mean.to(norm.running_mean), share)
    norm.running_var.lerp_(unbiased.to(norm.running_var), share)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, common: tuple[Moments, float]
    ) -> Tensor:
        moments, eps = common
        inverse_std = (moments.variance + eps).rsqrt().to(weight)
        mean = moments.mean.to(weight)
        ctx.save_for_backward(rows, weight, mean, inverse_std)
        ctx.count = moments.count
        scale = inverse_std * weight
        return torch.addcmul(bias - mean * scale, rows, scale).to(rows.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, inverse_std = ctx.saved_tensors
        normalised = (rows - mean) * inverse_std
        of_bias = gradient.sum(0, dtype=mean.dtype)
        of_weight = (gradient * normalised).sum(0, dtype=mean.dtype)
        sums = torch.stack([of_bias, of_weight])
        torch.distributed.all_reduce(sums)
        mean_gradient, mean_product = sums / ctx.count
        of_rows = (gradient - mean_gradient - normalised * mean_product) * (inverse_std * weight)
        return of_rows.to(rows.dtype), of_weight, of_bias, None


def _moments_of_all(rows: Tensor, count: int) -> Moments:
    """Return the moments of all workers' `count` rows by one exchange, for which nobody waits.

    The sums are about each worker's mean. Moving them to the common mean cancels digits, of which
    float64 has enough.
    """
    variance, mean = rows.new_zeros(2, rows.shape[1], dtype=torch.float64)
    if len(rows):
        precise = rows.float() if rows.itemsize < 4 else rows
        variance, mean = (x.double() for x in torch.var_mean(precise, 0, correction=0))
    sums = len(rows) * torch.stack([mean, variance + mean**2])
    torch.distributed.all_reduce(sums)
    mean, square = sums / count
    return Moments(count, mean, (square - mean**2).clamp_min(0))


def num_workers() -> int:
    """Return how many processes train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def _check_count(count: int) -> None:
    if count == 1:
        raise UserError(
            "Only one voxel is left at some level of the network and batch norm cannot train on "
            "it: take smaller voxels, fewer levels or more frames per batch."
        )
