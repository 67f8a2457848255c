"""Log-sum-exp of the similarities of many rows, in memory that does not grow with their product.

Losses that contrast M queries with N keys need M x N logits. If they are no more than a tile they
are one matrix. Otherwise they are made tile by tile, summed online, and made again in the backward
pass (Rabe and Staats 2021), so that peak memory is that of a few tiles (method.md §10.2).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows and keys of one tile. On a CPU it stays in a cache: at 4096 pairs tiles take 0.6 of the time
# of one matrix. A GPU wants fewer calls; the published 4096 pairs are one matrix there.
TILE_SIDE = {"cpu": 1024}
OTHER_TILE_SIDE = 4096


def exact(rows: Float[Tensor, "M D"]) -> Float[Tensor, "M D"]:
    """Return the rows in single precision, or in double if they are."""
    return rows if rows.dtype == torch.double else rows.float()


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off, where the device knows it."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def dense_logits(
    queries: Float[Tensor, "M D"], keys: Float[Tensor, "N D"], temperature: float
) -> Float[Tensor, "M N"]:
    """Return similarities over temperature, not rounded to half precision under autocast."""
    with full_precision(queries.device):
        return exact(queries) @ exact(keys).T / temperature


def own_logits(
    queries: Float[Tensor, "M D"], keys: Float[Tensor, "M D"], temperature: float
) -> Float[Tensor, " M"]:
    """Return the logit of query i and key i."""
    return (exact(queries) * exact(keys)).sum(dim=1) / temperature


def is_dense(queries: Float[Tensor, "M D"], keys: Float[Tensor, "N D"]) -> bool:
    """Whether the logits of these rows are few enough for one matrix."""
    return len(queries) * len(keys) <= tile_side(queries.device) ** 2


def tile_side(device: torch.device) -> int:
    """Return how many rows, and how many keys, a tile has."""
    return TILE_SIDE.get(device.type, OTHER_TILE_SIDE)


def log_sum_exp(
    queries: Float[Tensor, "M D"], keys: Float[Tensor, "N D"], temperature: float
) -> Float[Tensor, " M"]:
    """Return the log-sum-exp of each query's logits over all keys."""
    if is_dense(queries, keys):
        return dense_logits(queries, keys, temperature).logsumexp(dim=1)
    return _tiled(queries, keys, None, temperature)[0]


def class_log_sum_exps(
    queries: Float[Tensor, "M D"],
    keys: Float[Tensor, "N D"],
    query_classes: Int[Tensor, " M"],
    key_classes: Int[Tensor, " N"],
    temperature: float,
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Return log-sum-exps over all keys and over the keys of the query's class.

    The second is minus infinity for a class without keys.
    """
    if is_dense(queries, keys):
        logits = dense_logits(queries, keys, temperature)
        same = query_classes[:, None] == key_classes[None, :]
        return logits.logsumexp(dim=1), logits.masked_fill(~same, -torch.inf).logsumexp(dim=1)
    return _tiled(queries, keys, (query_classes, key_classes), temperature)


Classes = tuple[Int[Tensor, " M"], Int[Tensor, " N"]]


def _tiled(
    queries: Tensor, keys: Tensor, classes: Classes | None, temperature: float
) -> tuple[Tensor, Tensor]:
    with full_precision(queries.device):
        return TiledLogSumExp.apply(  # type: ignore[no-untyped-call] # torch has no hints for apply
            exact(queries), exact(keys), classes, temperature
        )


class TiledLogSumExp(torch.autograd.Function):
    """Log-sum-exps over all keys and over those of the query's class (zeros without classes)."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Float[Tensor, "M D"],
        keys: Float[Tensor, "N D"],
        classes: Classes | None,
        temperature: float,
    ) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
        """Go once over the tiles."""
        total = queries.new_full((len(queries),), -torch.inf)
        same = total.clone() if classes else torch.zeros_like(total)
        for rows, columns in _tiles(queries, keys):
            logits = (queries[rows] @ keys[columns].T).div_(temperature)
            total[rows] = torch.logaddexp(total[rows], logits.logsumexp(dim=1))
            if classes:
                logits.masked_fill_(_other(classes, rows, columns), -torch.inf)
                same[rows] = torch.logaddexp(same[rows], logits.logsumexp(dim=1))
        ctx.save_for_backward(queries, keys, total, same, *(classes or ()))
        ctx.temperature = temperature
        return total, same

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor, by_same: Tensor) -> tuple[Tensor | None, ...]:
        """Make each tile again, as its share of the sums."""
        queries, keys, total, same, *classes = ctx.saved_tensors
        same = same.masked_fill(same.isinf(), 0.0)  # no key of that class: its share is nothing
        to_queries, to_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        with full_precision(queries.device):
            for rows, columns in _tiles(queries, keys):
                logits = (queries[rows] @ keys[columns].T).div_(ctx.temperature)
                slope = (logits - total[rows, None]).exp_().mul_(by_total[rows, None])
                if classes:
                    logits.masked_fill_(_other(classes, rows, columns), -torch.inf)
                    share = logits.sub_(same[rows, None]).exp_()
                    slope.addcmul_(share, by_same[rows, None].expand_as(share))
                slope.div_(ctx.temperature)
                if ctx.needs_input_grad[0]:
                    to_queries[rows].addmm_(slope, keys[columns])
                if ctx.needs_input_grad[1]:
                    to_keys[columns].addmm_(slope.T, queries[rows])
        return to_queries, to_keys, None, None


def _tiles(queries: Tensor, keys: Tensor) -> list[tuple[slice, slice]]:
    side = tile_side(queries.device)
    return [
        (slice(row, row + side), slice(key, key + side))
        for row in range(0, len(queries), side)
        for key in range(0, len(keys), side)
    ]


def _other(classes: Sequence[Tensor], rows: slice, columns: slice) -> Bool[Tensor, "rows columns"]:
    of_queries, of_keys = classes
    return of_queries[rows, None] != of_keys[None, columns]
