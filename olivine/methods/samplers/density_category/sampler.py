"""Far points and rare classes are sampled as often as near and common ones (OLIVINE, DCAS).

A pair's probability is proportional to 1 / (density of its range x number of pairs of its class),
method.md §4.5. Each factor has an exponent, its temperature: 0 leaves it out, 1 is the paper's.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.samplers.weighted_sampling import choose_weighted, scan_ids, share_equally
from olivine.models.scatter import count

LONGEST_M = 1000.0  # the range of all points beyond it
Scans = tuple[Int[Tensor, " M"], int]  # scan of each pair; number of scans


def range_density(
    range_m: Float[Tensor, " M"], step_m: float, scans: Scans | None = None
) -> Float[Tensor, " M"]:
    """Return a Gaussian kernel density estimate of the ranges, at the ranges themselves, per bin.

    Ranges are counted in bins of `step_m` and the counts are convolved with the kernel, so the
    estimate equals the direct one over all points (method.md §4.5) without their product, in memory
    that grows with the number of bins alone. The bandwidth is that of the normal reference rule,
    1.06 sigma M^(-1/5). With `scans`, each scan has an estimate of its own.
    """
    if not len(range_m):
        return torch.zeros_like(range_m)
    num_bins = math.ceil(LONGEST_M / step_m)
    bins = (range_m / step_m).floor().long().clamp(0, num_bins - 1)
    ids, num_scans = scans or (torch.zeros_like(bins), 1)
    index = ids * num_bins + bins
    counts = count(index, num_scans * num_bins).view(num_scans, num_bins)
    centres = torch.arange(num_bins, device=bins.device, dtype=torch.double)
    number = counts.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (counts * centres).sum(dim=1, keepdim=True) / number
    squares = (counts * (centres - mean) ** 2).sum(dim=1, keepdim=True)
    spread = (squares / (number - 1).clamp(min=1)).sqrt()
    bandwidth = (1.06 * spread * number**-0.2).clamp(min=1e-6)
    lag = torch.cat([centres, num_bins - centres])  # on a circle on which no bin meets itself
    kernel = torch.exp(-0.5 * (lag / bandwidth) ** 2)
    spectrum = torch.fft.rfft(counts, n=2 * num_bins) * torch.fft.rfft(kernel)
    smooth = torch.fft.irfft(spectrum, n=2 * num_bins)[:, :num_bins]
    density = smooth / (number * bandwidth * (2 * torch.pi) ** 0.5)
    return density.flatten()[index].to(range_m.dtype)


@dataclass(frozen=True)
class DensityCategorySampler:
    """Samples pairs by density and class; see `DensityCategory` for the temperatures.

    With `equal_scans`, density and class sizes are those of the pair's own scan, and every scan has
    the same total probability.
    """

    num_pairs: int
    density_temperature: float
    category_temperature: float
    range_step_m: float
    equal_scans: bool

    def log_weights(self, pairs: PairTable) -> Float[Tensor, " M"]:
        """Return the logarithm of each pair's probability, up to a constant."""
        scans = scan_ids(pairs) if self.equal_scans else None
        log_weight = torch.zeros_like(pairs.range_m)
        if self.density_temperature > 0:
            density = range_density(pairs.range_m, self.range_step_m, scans)
            log_weight = log_weight - self.density_temperature * density.log()
        if self.category_temperature > 0:
            ids, num_scans = scans or (torch.zeros_like(pairs.class_ids), 1)
            index = ids * (IGNORE + 1) + pairs.class_ids
            size = count(index, num_scans * (IGNORE + 1))[index].to(log_weight)
            log_weight = log_weight - self.category_temperature * size.log()
            log_weight = log_weight.masked_fill(pairs.class_ids == IGNORE, -torch.inf)
        return share_equally(log_weight, *scans) if scans else log_weight

    def __call__(self, pairs: PairTable, generator: torch.Generator) -> Int[Tensor, " chosen"]:
        """Return sampled rows of `pairs`, none twice."""
        return choose_weighted(
            self.log_weights(pairs),
            self.num_pairs,
            generator,
            excludes=self.category_temperature > 0,
        )
