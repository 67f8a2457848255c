"""Rows of all workers put together, with gradients."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from olivine.tensors import WHOLE, Matched, StepPart


def gather_rows(rows: Shaped[Tensor, "M ..."]) -> tuple[Shaped[Tensor, "N ..."], int]:
    """Return the rows of all workers in the order of their ranks, and where one's own begin.

    Workers may hold different numbers of rows, also none. The gradient of a row is the sum over
    the workers of what each makes of it; data-parallel averaging then gives the gradient of the
    mean of the workers' losses. Every worker must call it, and go backward through it, equally
    often. In a single process the rows themselves.
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


@dataclass(frozen=True)
class BatchKeys:
    """The keys of a whole step: all contrast groups of all workers."""

    keys: Float[Tensor, "N D"]
    class_ids: Int[Tensor, " _"]  # of the keys, unless they are shared
    own: Int[Tensor, " M"]  # row here of the key of each of this worker's queries
    group_ids: Int[Tensor, " M"]  # their contrast groups

    def own_of(self, matched: Matched) -> Int[Tensor, " m"]:
        """Return the row here of the key of each query of one contrast group."""
        return self.own[self.group_ids == matched.group_ids[:1]]


def gather_keys(matched: Matched) -> BatchKeys:
    """Return the keys of all workers; `matched` holds all of this worker's groups."""
    assert matched.keys is not None
    keys, first = gather_rows(matched.keys)
    class_ids, _ = gather_rows(matched.class_ids)
    own = matched.key_of
    if own is None:
        own = torch.arange(len(matched.keys), device=keys.device)
    own = first + own
    return BatchKeys(keys, class_ids, own, matched.group_ids)


class GathersKeys(nn.Module):
    """The base of a loss whose candidates are the keys of the whole step."""

    batch: BatchKeys

    def observe(self, matched: Matched, part: StepPart = WHOLE) -> None:
        """Gather this step's keys, which must come at once."""
        assert part.is_first
        assert part.is_last
        self.batch = gather_keys(matched)

    def state_metrics(self) -> dict[str, Tensor]:
        """Nothing is kept from step to step."""
        return {}
