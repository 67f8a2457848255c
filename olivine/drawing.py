"""Weighted draws without replacement, and what samplers count per scan."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.tensors import PairTable


def choose_weighted(
    log_weight: Float[Tensor, " M"],
    num_chosen: int,
    generator: torch.Generator,
    *,
    excludes: bool = True,
) -> Int[Tensor, " chosen"]:
    """Return rows drawn without replacement, chances as exp(log_weight); -inf is never drawn.

    Adding Gumbel noise and keeping the largest is the same draw as taking one row after another
    (Kool et al. 2019), in one pass on any device. `excludes=False` says that no weight is -inf:
    then nothing waits for the device.
    """
    uniform = torch.rand(
        len(log_weight), generator=generator, device=log_weight.device, dtype=torch.double
    )
    noisy = log_weight.double() - (-uniform.clamp(min=1e-300).log()).log()
    possible = int(log_weight.isfinite().sum()) if excludes else len(log_weight)
    return noisy.topk(min(num_chosen, possible)).indices


def scan_ids(pairs: PairTable) -> tuple[Int[Tensor, " M"], int]:
    """Return the number of each pair's scan, counted from 0, and how many scans there are."""
    found, ids = pairs.frame_index.unique(return_inverse=True)
    return ids, len(found)


def count(ids: Int[Tensor, " M"], number: int) -> Float[Tensor, " number"]:
    """Return how often each of 0 to number - 1 occurs, in double precision."""
    ones = torch.ones(len(ids), device=ids.device, dtype=torch.double)
    return ones.new_zeros(number).index_add_(0, ids, ones)


def equal_scans(
    log_weight: Float[Tensor, " M"], ids: Int[Tensor, " M"], num_scans: int
) -> Float[Tensor, " M"]:
    """Return log weights whose exponentials sum to one in each scan."""
    largest = log_weight.new_full((num_scans,), -torch.inf)
    largest = largest.scatter_reduce(0, ids, log_weight, "amax")
    largest = largest.masked_fill(largest.isinf(), 0.0)
    shifted = log_weight - largest[ids]
    total = torch.zeros_like(largest).index_add_(0, ids, shifted.exp())
    return shifted - total.log()[ids].nan_to_num(neginf=0.0)
