"""Means and counts of groups of rows."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def group_means(
    rows: Float[Tensor, "M D"], group: Int[Tensor, " M"], num_groups: int
) -> Float[Tensor, "G D"]:
    """Return the mean of the rows of each group from 0 to num_groups - 1; an empty one has zeros.

    Means are at least in single precision: a sum of thousands of rows in half precision stops
    growing. Gradients flow to every row.
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    sums = rows.new_zeros(num_groups, rows.shape[1]).index_add(0, group, rows)
    return sums / group.bincount(minlength=num_groups).clamp(min=1)[:, None]


def count(ids: Int[Tensor, " M"], number: int) -> Float[Tensor, " number"]:
    """Return how often each of 0 to number - 1 occurs, in double precision."""
    ones = torch.ones(len(ids), device=ids.device, dtype=torch.double)
    return ones.new_zeros(number).index_add_(0, ids, ones)
