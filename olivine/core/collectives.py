"""Sums and rows over all workers of a training."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable


def gather_rows(rows: Shaped[Tensor, "M ..."]) -> tuple[Shaped[Tensor, "N ..."], int]:
    """Return the rows of all workers in rank order, and the position of this worker's first row.

    Workers may hold different numbers of rows, or none. The gradient of a row is the sum of its
    gradients on all workers; data-parallel averaging then gives the gradient of the mean of the
    workers' losses. Every worker must call this function, and run its backward pass, equally often.
    In a single process the rows are returned as they are.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return rows, 0
    number = torch.tensor([len(rows)], device=rows.device)
    numbers = [torch.empty_like(number) for _ in range(dist.get_world_size())]
    dist.all_gather(numbers, number)
    counts = torch.cat(numbers).tolist()
    gathered = _GatherRows.apply(rows, counts)  # type: ignore[no-untyped-call] # torch has no hints for apply
    return gathered, sum(counts[: dist.get_rank()])


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        # Gloo gathers equal shapes only.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        rank = dist.get_rank()
        begin = sum(ctx.counts[:rank])
        return total[begin : begin + ctx.counts[rank]], None


def is_first_worker() -> bool:
    """Return whether this process is the first of all workers, or the only one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return True


def sum_over_workers(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all workers, without a gradient.

    In a single process it is the tensor itself.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        total = values.detach().clone()
        torch.distributed.all_reduce(total)
        return total
    return values.detach()
