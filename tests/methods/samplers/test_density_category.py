from dataclasses import replace

import numpy as np
import pytest
import torch

from olivine.data.batch import PairTable
from olivine.data.collate import Collate
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import IGNORE
from olivine.data.samples import make_sample
from olivine.methods.samplers.density_category import DensityCategory
from olivine.methods.samplers.density_category.sampler import LONGEST_M, range_density
from olivine.methods.samplers.uniform import Uniform
from olivine.methods.samplers.weighted_sampling import choose_weighted, scan_ids, share_equally


def pairs(range_m: torch.Tensor, class_ids: torch.Tensor) -> PairTable:
    rows = torch.arange(len(range_m))
    return PairTable(rows, rows[:, None].expand(-1, 3), class_ids, range_m, torch.zeros_like(rows))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_scans() -> PairTable:
    """Return 2700 pairs of one scan and 300 of another; frames need not count from 0."""
    table = pairs(RANGES, CLASSES)
    return replace(table, frame_index=torch.where(torch.arange(3000) < 2700, 7, 3))


RANGES = 60 * torch.rand(3000, generator=seeded()) ** 2
CLASSES = torch.where(torch.arange(3000) % 10 == 0, 1, 0)


def test_weights_are_one_over_density_times_class_size():
    weights = DensityCategory().build().log_weights(pairs(RANGES, CLASSES))
    size = CLASSES.bincount()[CLASSES]
    expected = -(range_density(RANGES, 0.1).log() + size.log())
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("temperatures", [(0.0, 0.0), (1.0, 0.0), (0.5, 0.3), (0.0, 2.0)])
def test_each_temperature_scales_its_own_factor(temperatures):
    density, category = temperatures
    sampler = DensityCategory(density_temperature=density, category_temperature=category).build()
    size = CLASSES.bincount()[CLASSES]
    expected = -density * range_density(RANGES, 0.1).log() - category * size.log()
    torch.testing.assert_close(sampler.log_weights(pairs(RANGES, CLASSES)), expected)


def test_rare_and_far_pairs_are_drawn_more_often():
    drawn = DensityCategory(num_pairs=300).build()(pairs(RANGES, CLASSES), seeded())
    assert CLASSES[drawn].float().mean() > 3 * CLASSES.float().mean()
    assert RANGES[drawn].mean() > 1.3 * RANGES.mean()


def test_ignored_pairs_are_never_drawn_by_category():
    classes = CLASSES.clone()
    classes[:2900] = IGNORE
    drawn = DensityCategory(num_pairs=300).build()(pairs(RANGES, classes), seeded())
    assert sorted(drawn.tolist()) == list(range(2900, 3000))


@pytest.mark.parametrize("scope", ["group", "scan"])
@pytest.mark.parametrize("kind", [Uniform, DensityCategory])
def test_no_pair_twice_and_the_same_for_a_seed(kind, scope):
    table, sampler = of_scans(), kind(num_pairs=500, scope=scope).build()
    first, again, other = (sampler(table, seeded(seed)) for seed in (1, 1, 2))
    assert len(first.unique()) == len(first) == 500
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("scope", ["group", "scan"])
@pytest.mark.parametrize("kind", [Uniform, DensityCategory])
def test_fewer_pairs_than_asked_are_all_taken(kind, scope):
    drawn = kind(num_pairs=5000, scope=scope).build()(of_scans(), seeded())
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
    weights = DensityCategory().build().log_weights(table)
    assert weights.isfinite().all()
    assert weights.unique().numel() == 1


def test_per_scan_the_weights_are_those_of_each_scan_alone():
    sampler, table = DensityCategory(scope="scan").build(), of_scans()
    found = sampler.log_weights(table)
    for frame in (7, 3):
        of_frame = table.frame_index == frame
        alone = DensityCategory().build().log_weights(table.take(of_frame))
        torch.testing.assert_close(found[of_frame], alone - alone.logsumexp(0))


@pytest.mark.parametrize("sampler", [Uniform, DensityCategory])
def test_per_scan_a_small_scan_is_as_likely_as_a_large_one(sampler):
    table = of_scans()
    shares = [
        (table.frame_index[sampler(num_pairs=100, scope=scope).build()(table, seeded())] == 3)
        .float()
        .mean()
        .item()
        for scope in ("group", "scan")
    ]
    assert shares[0] < 0.25
    assert shares[1] == pytest.approx(0.5, abs=0.12)


def test_a_scan_without_a_class_is_never_drawn_and_harms_nobody():
    table = of_scans()
    table = replace(table, class_ids=torch.where(table.frame_index == 3, IGNORE, CLASSES))
    weights = DensityCategory(scope="scan").build().log_weights(table)
    assert (weights[2700:] == -torch.inf).all()
    assert weights[:2700].isfinite().all()
    ids, number = scan_ids(table)
    sums = [share_equally(weights, ids, number)[ids == k].exp().sum().item() for k in range(2)]
    assert sums == pytest.approx([0.0, 1.0], abs=1e-5)


def test_a_stray_point_far_away_counts_as_a_kilometre():
    ranges = torch.cat([RANGES, torch.tensor([500.0, 999.0, 1e7])])
    density = range_density(ranges, 0.1)
    assert density.isfinite().all()
    assert (density > 0).all()
    torch.testing.assert_close(density[-1:], range_density(ranges.clamp(max=LONGEST_M), 0.1)[-1:])


@pytest.mark.parametrize("coordinates", ["cylindrical", "cartesian"])
def test_ranges_are_horizontal_distances_whatever_the_voxels_are(
    coordinates, shared_data, tmp_path
):
    """The published code reads a voxel index, which is x instead of range in Cartesian voxels."""
    dataset = Nuscenes(version="v1.0-mini", split="all")
    frames = dataset.open(shared_data / "nuscenes_scene0061_keyframe0", tmp_path)
    frame = frames.frame(0, classes=False)
    sample = make_sample(frame, None, frames.camera_names)
    table = Collate(Voxelizer(coordinates=coordinates))([sample]).pairs
    expected = np.hypot(*frame.xyz_m[sample.pairs.point_index, :2].T)
    np.testing.assert_allclose(table.range_m, expected, rtol=1e-5)
    assert len(table) > 10_000


def test_weights_over_a_group_do_not_wait_for_the_device():
    """Tensors on "meta" have no values, so whatever asks for one raises."""
    rows = torch.empty(100, dtype=torch.long, device="meta")
    table = pairs(torch.empty(100, device="meta"), rows)
    assert DensityCategory().build().log_weights(table).shape == (100,)
