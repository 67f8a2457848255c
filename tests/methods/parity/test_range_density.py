"""The binned kernel density estimate equals the direct one over all pairs (method.md §4.5)."""

import numpy as np
import pytest
import torch

from olivine.methods.samplers.density_category.sampler import range_density

NEAR = 60 * torch.rand(3000, generator=torch.Generator().manual_seed(0)) ** 2
CASES = {
    "near": NEAR,
    "strays": torch.cat([NEAR, torch.tensor([150.0, 400.0, 999.0])]),
    "narrow": 7 + NEAR[:500] / 10,
    "two": torch.tensor([3.0, 40.0]),
}


def direct(range_m: torch.Tensor, step_m: float) -> torch.Tensor:
    bins = (range_m / step_m).floor().double()
    width = 1.06 * bins.std() * len(bins) ** -0.2
    kernel = torch.exp(-0.5 * ((bins[:, None] - bins[None]) / width) ** 2)
    return kernel.sum(1) / (len(bins) * width * np.sqrt(2 * np.pi))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step_m", [0.1, 1.0])
def test_the_binned_density_equals_the_direct_one(name, step_m):
    ranges = CASES[name].double()
    found = range_density(ranges, step_m)
    torch.testing.assert_close(found, direct(ranges, step_m), rtol=1e-10, atol=0)


def test_each_scan_has_a_density_of_its_own():
    ranges, ids = CASES["near"].double(), torch.arange(3000) % 7 % 2
    found = range_density(ranges, 0.1, (ids, 2))
    for scan in (0, 1):
        expected = direct(ranges[ids == scan], 0.1)
        torch.testing.assert_close(found[ids == scan], expected, rtol=1e-10, atol=0)
