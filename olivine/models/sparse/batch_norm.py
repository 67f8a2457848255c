"""Batch norm over rows, with the same result on one process and on several.

torch's SyncBatchNorm refuses CPU tensors and workers without rows.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from olivine.core.errors import UserError


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

    def forward(self, input: Float[Tensor, "V channels"]) -> Float[Tensor, "V channels"]:
        """Return normalised rows."""
        if not self.training:
            return super().forward(input)
        if _num_workers() > 1:
            return self._forward_together(input)
        if not len(input):
            return input
        _check_count(len(input))
        return super().forward(input)

    def _forward_together(self, rows: Tensor) -> Tensor:
        moments = _moments_of_all(rows.detach())
        if moments.count == 0:
            return rows
        _check_count(moments.count)
        if self.track_running_stats:
            self._update(moments)
        weight, bias = self.weight, self.bias
        return _Normalise.apply(rows, weight, bias, (moments, self.eps))  # type: ignore[no-untyped-call] # torch: no hints

    @torch.no_grad()
    def _update(self, moments: Moments) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:  # torch's cumulative average
            momentum = 1.0 / float(self.num_batches_tracked)
        unbiased = moments.variance * (moments.count / (moments.count - 1))
        self.running_mean.lerp_(moments.mean.to(self.running_mean), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var), momentum)


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


def _moments_of_all(rows: Tensor) -> Moments:
    """Return the moments of all workers' rows by one exchange of sums about each worker's mean.

    Moving them to the common mean cancels digits, of which float64 has enough.
    """
    variance, mean = rows.new_zeros(2, rows.shape[1], dtype=torch.float64)
    if len(rows):
        precise = rows.float() if rows.itemsize < 4 else rows
        variance, mean = (x.double() for x in torch.var_mean(precise, 0, correction=0))
    squares = len(rows) * (variance + mean**2)
    sums = torch.cat([len(rows) * mean, squares, mean.new_tensor([len(rows)])])
    torch.distributed.all_reduce(sums)
    count = round(sums[-1].item())
    mean, square = (sums[:-1] / max(count, 1)).view(2, -1)
    return Moments(count, mean, (square - mean**2).clamp_min(0))


def _num_workers() -> int:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def _check_count(count: int) -> None:
    if count == 1:
        raise UserError(
            "Only one voxel is left at some level of the network and batch norm cannot train on "
            "it: take smaller voxels, fewer levels or more frames per batch."
        )
