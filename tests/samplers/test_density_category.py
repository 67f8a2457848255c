import numpy as np
import pytest
import torch

from olivine.samplers.density_category import DensityCategory, choose_weighted, range_density
from olivine.samplers.uniform import Uniform
from olivine.tensors import PairTable
from olivine.types import IGNORE


def pairs(range_m: torch.Tensor, class_ids: torch.Tensor) -> PairTable:
    rows = torch.arange(len(range_m))
    return PairTable(rows, rows[:, None].expand(-1, 3), class_ids, range_m, torch.zeros_like(rows))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


RANGES = 60 * torch.rand(3000, generator=seeded()) ** 2
CLASSES = torch.where(torch.arange(3000) % 10 == 0, 1, 0)


def test_the_binned_density_equals_the_direct_one():
    bins = (RANGES / 0.1).floor().double()
    width = 1.06 * bins.std() * len(bins) ** -0.2
    kernel = torch.exp(-0.5 * ((bins[:, None] - bins[None]) / width) ** 2)
    direct = kernel.sum(1) / (len(bins) * width * np.sqrt(2 * np.pi))
    torch.testing.assert_close(range_density(RANGES.double(), 0.1), direct, rtol=1e-12, atol=0)


def test_weights_are_one_over_density_times_class_size():
    weights = DensityCategory().log_weights(pairs(RANGES, CLASSES))
    size = CLASSES.bincount()[CLASSES]
    expected = -(range_density(RANGES, 0.1).log() + size.log())
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("temperatures", [(0.0, 0.0), (1.0, 0.0), (0.0, 2.0)])
def test_each_temperature_scales_its_own_factor(temperatures):
    density, category = temperatures
    sampler = DensityCategory(density_temperature=density, category_temperature=category)
    size = CLASSES.bincount()[CLASSES]
    expected = -density * range_density(RANGES, 0.1).log() - category * size.log()
    torch.testing.assert_close(sampler.log_weights(pairs(RANGES, CLASSES)), expected)


def test_rare_and_far_pairs_are_drawn_more_often():
    drawn = DensityCategory(num_pairs=300)(pairs(RANGES, CLASSES), seeded())
    assert CLASSES[drawn].float().mean() > 3 * CLASSES.float().mean()
    assert RANGES[drawn].mean() > 1.3 * RANGES.mean()


def test_ignored_pairs_are_never_drawn_by_category():
    classes = CLASSES.clone()
    classes[:2900] = IGNORE
    drawn = DensityCategory(num_pairs=300)(pairs(RANGES, classes), seeded())
    assert sorted(drawn.tolist()) == list(range(2900, 3000))


@pytest.mark.parametrize("sampler", [Uniform(num_pairs=500), DensityCategory(num_pairs=500)])
def test_no_pair_twice_and_the_same_for_a_seed(sampler):
    table = pairs(RANGES, CLASSES)
    first, again, other = (sampler(table, seeded(seed)) for seed in (1, 1, 2))
    assert len(first.unique()) == len(first) == 500
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("sampler", [Uniform(num_pairs=5000), DensityCategory(num_pairs=5000)])
def test_fewer_pairs_than_asked_are_all_taken(sampler):
    drawn = sampler(pairs(RANGES, CLASSES), seeded())
    assert sorted(drawn.tolist()) == list(range(3000))


def test_draws_follow_the_weights():
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    counts = torch.zeros(4)
    generator = seeded()
    for _ in range(4000):
        counts[choose_weighted(weights.log(), 1, generator)] += 1
    np.testing.assert_allclose(counts / 4000, weights / 10, atol=0.025)


def test_pairs_at_one_range_have_equal_weights():
    table = pairs(torch.full((10,), 7.0), torch.zeros(10, dtype=torch.long))
    weights = DensityCategory().log_weights(table)
    assert weights.isfinite().all()
    assert weights.unique().numel() == 1
