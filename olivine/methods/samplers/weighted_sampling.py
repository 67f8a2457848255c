"""Weighted sampling without replacement, and counts per scan."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.data.batch import PairTable


@runtime_checkable
class PairSampler(Protocol):
    """Samples pairs of one contrast group."""

    def __call__(self, pairs: PairTable, generator: torch.Generator) -> Int[Tensor, " chosen"]:
        """Return sampled rows of `pairs`, none twice; `generator` is the source of randomness."""
        ...


def choose_uniform(
    pairs: PairTable, generator: torch.Generator, *, num_chosen: int, equal_scans: bool
) -> Int[Tensor, " chosen"]:
    """Return sampled rows of `pairs`, none twice, all with the same probability.

    With `equal_scans` every scan has the same total probability, whatever its number of pairs.
    """
    if equal_scans:
        log_weight = share_equally(torch.zeros_like(pairs.range_m), *scan_ids(pairs))
        return choose_weighted(log_weight, num_chosen, generator, excludes=False)
    device = pairs.voxel_index.device
    order = torch.randperm(len(pairs), generator=generator, device=device)
    return order[:num_chosen]


def choose_weighted(
    log_weight: Float[Tensor, " M"],
    num_chosen: int,
    generator: torch.Generator,
    *,
    excludes: bool = True,
) -> Int[Tensor, " chosen"]:
    """Return rows sampled without replacement, with probabilities proportional to exp(log_weight).

    A weight of -inf is never sampled. Adding Gumbel noise and taking the largest values equals
    taking one row after another (Kool et al. 2019), in one pass on any device. `excludes=False`
    states that no weight is -inf, and then nothing waits for the device.
    """
    uniform = torch.rand(
        len(log_weight), generator=generator, device=log_weight.device, dtype=torch.double
    )
    noisy = log_weight.double() - (-uniform.clamp(min=1e-300).log()).log()
    possible = int(log_weight.isfinite().sum()) if excludes else len(log_weight)
    return noisy.topk(min(num_chosen, possible)).indices


def scan_ids(pairs: PairTable) -> tuple[Int[Tensor, " M"], int]:
    """Return the scan of each pair, numbered from 0, and the number of scans."""
    found, ids = pairs.frame_index.unique(return_inverse=True)
    return ids, len(found)


def share_equally(
    log_weight: Float[Tensor, " M"], ids: Int[Tensor, " M"], num_scans: int
) -> Float[Tensor, " M"]:
    """Return log weights whose exponentials sum to one in each scan."""
    largest = log_weight.new_full((num_scans,), -torch.inf)
    largest = largest.scatter_reduce(0, ids, log_weight, "amax")
    largest = largest.masked_fill(largest.isinf(), 0.0)
    shifted = log_weight - largest[ids]
    # A GPU adds in any order: in double precision the rounding that it leaves is not seen in ours.
    total = torch.zeros_like(largest, dtype=torch.double)
    total = total.index_add_(0, ids, shifted.double().exp()).log().to(log_weight)
    return shifted - total[ids].nan_to_num(neginf=0.0)
