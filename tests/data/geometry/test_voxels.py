import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from olivine.core.errors import UserError
from olivine.data.geometry.voxelization import cells_of, voxelize
from olivine.data.geometry.voxels import Voxelizer

PAPER_RANGE = (-51.2, -51.2, -5.0, 51.2, 51.2, 3.0)
KINDS = ("cylindrical", "cartesian")


def cloud(count, seed=0):
    generator = np.random.default_rng(seed)
    xyz_m = (generator.normal(size=(count, 3)) * [30, 30, 1.5]).astype(np.float32)
    return xyz_m, generator.uniform(0, 255, count).astype(np.float32)


def coarse(**settings):
    """Return a voxelizer whose cells hold several points of a small cloud."""
    return Voxelizer(size=(4.0, 10.0, 2.0), **settings)


frames = st.lists(
    st.integers(1, 30).flatmap(
        lambda n: arrays(np.float32, (n, 3), elements=st.floats(-60, 60, width=32))
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=50, deadline=None)
@given(frames, st.sampled_from(KINDS))
def test_every_point_finds_its_cell_and_every_cell_its_lowest_point(xyz_m, kind):
    voxelizer = coarse(coordinates=kind)
    intensity = [np.arange(len(frame), dtype=np.float32) for frame in xyz_m]
    voxels = voxelize(voxelizer, xyz_m, intensity)
    cells = torch.cat([cells_of(voxelizer, torch.from_numpy(frame)) for frame in xyz_m])
    frame_of = torch.from_numpy(np.repeat(np.arange(len(xyz_m)), [len(f) for f in xyz_m]))
    expected = torch.cat([frame_of[:, None], cells], dim=1)
    assert torch.equal(voxels.coordinates[voxels.voxel_of_point].long(), expected)
    assert len(torch.unique(voxels.coordinates, dim=0)) == len(voxels.coordinates)
    numbers = torch.arange(len(cells))
    lowest = torch.full((len(voxels.kept_point),), len(cells))
    lowest = lowest.scatter_reduce(0, voxels.voxel_of_point, numbers, "amin")
    assert torch.equal(voxels.kept_point, lowest)
    kept_intensity = torch.from_numpy(np.concatenate(intensity))[voxels.kept_point]
    assert torch.equal(voxels.features, kept_intensity[:, None])


def test_cylindrical_cells_are_decimetres_degrees_and_decimetres():
    # ρ = 5 m at 53.13° and 2.5 m high; then the four sides of the axes
    xyz_m = torch.tensor(
        [[3.0, 4.0, 2.56], [1.05, 0.0, 0.0], [0.0, 1.05, -0.01], [-1.05, -0.01, 0.0]]
    )
    cells = cells_of(Voxelizer(), xyz_m)
    assert cells.tolist() == [[50, 53, 25], [10, 0, 0], [10, 90, -1], [10, -180, 0]]


def test_azimuth_does_not_wrap_around():
    either_side = torch.tensor([[-10.0, 0.05, 0.0], [-10.0, -0.05, 0.0]])
    assert cells_of(Voxelizer(), either_side)[:, 1].tolist() == [179, -180]


def test_cartesian_cells_are_decimetres_towards_minus_infinity():
    xyz_m = torch.tensor([[0.25, -0.25, 1.0], [-0.05, 51.25, -4.95]])
    cells = cells_of(Voxelizer(coordinates="cartesian"), xyz_m)
    assert cells.tolist() == [[2, -3, 10], [-1, 512, -50]]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_stay_apart_and_do_not_change_each_other(kind):
    clouds = [cloud(300, seed) for seed in range(2)]
    voxelizer = coarse(coordinates=kind)
    both = voxelize(voxelizer, *zip(*clouds, strict=True))
    first, second = (voxelize(voxelizer, [xyz_m], [values]) for xyz_m, values in clouds)
    count = len(first.coordinates)
    assert torch.equal(both.coordinates[:count], first.coordinates)
    assert torch.equal(both.coordinates[count:, 1:], second.coordinates[:, 1:])
    assert both.coordinates[count:, 0].unique().tolist() == [1]
    assert torch.equal(both.voxel_of_point[300:], second.voxel_of_point + count)
    assert torch.equal(both.kept_point[count:], second.kept_point + 300)


def test_points_outside_the_range_make_no_voxel():
    xyz_m, intensity = cloud(2000)
    voxelizer = Voxelizer(coordinates="cartesian", range_m=PAPER_RANGE)
    inside = voxelizer.inside(xyz_m)
    voxels = voxelize(voxelizer, [xyz_m], [intensity])
    assert 0 < inside.sum() < len(inside)
    assert np.array_equal(voxels.voxel_of_point.numpy() >= 0, inside)
    assert inside[voxels.kept_point.numpy()].all()
    low, high = np.array(PAPER_RANGE).reshape(2, 3)
    cells = voxels.coordinates[:, 1:].numpy()
    assert (cells >= np.floor(low / 0.1)).all()
    assert (cells < np.ceil(high / 0.1)).all()


def test_every_point_can_be_given_its_nearest_voxel_of_its_own_frame():
    clouds = [cloud(400, seed) for seed in range(2)]
    voxelizer = coarse(coordinates="cartesian", range_m=PAPER_RANGE)
    xyz_m, intensity = zip(*clouds, strict=True)
    voxels = voxelize(voxelizer, xyz_m, intensity, every_point=True)
    partly = voxelize(voxelizer, xyz_m, intensity)
    of_batch = np.concatenate(xyz_m).astype(np.float64)
    kept = voxels.kept_point.numpy()
    has_voxel = partly.voxel_of_point >= 0
    assert torch.equal(voxels.voxel_of_point[has_voxel], partly.voxel_of_point[has_voxel])
    for point in (~has_voxel).nonzero()[:, 0].tolist():
        own = kept[(kept < 400) == (point < 400)]
        distance_m = np.linalg.norm(of_batch[own] - of_batch[point], axis=1)
        found = kept[voxels.voxel_of_point[point]]
        assert found in own
        found_m = np.linalg.norm(of_batch[found] - of_batch[point])
        assert found_m == pytest.approx(distance_m.min(), abs=1e-4)


def test_intensity_can_be_scaled():
    xyz_m, intensity = cloud(50)
    raw = voxelize(Voxelizer(), [xyz_m], [intensity])
    scaled = voxelize(Voxelizer(intensity_scale=1 / 255), [xyz_m], [intensity])
    torch.testing.assert_close(scaled.features, raw.features / 255)
    assert raw.features.shape[1] == Voxelizer().num_channels


def test_the_size_follows_the_coordinates_unless_it_is_set():
    assert Voxelizer().cell_size == (0.1, 1.0, 0.1)
    assert Voxelizer().override({"coordinates": "cartesian"}).cell_size == (0.1, 0.1, 0.1)
    assert Voxelizer(size=(1.0, 2.0, 3.0)).cell_size == (1.0, 2.0, 3.0)


def test_a_range_that_leaves_no_voxel_is_the_user_s_mistake():
    voxelizer = Voxelizer(coordinates="cartesian", range_m=(500.0, 500.0, 0.0, 600.0, 600.0, 1.0))
    xyz_m, intensity = cloud(20)
    with pytest.raises(UserError, match="none of its 20 points is in range_m"):
        voxelize(voxelizer, [xyz_m], [intensity])


def test_a_frame_without_points_is_named():
    xyz_m, intensity = cloud(5)
    with pytest.raises(UserError, match="Frame 1 of the batch leaves no voxel: it has no points"):
        voxelize(Voxelizer(), [xyz_m, xyz_m[:0]], [intensity, intensity[:0]])


def test_points_that_are_no_numbers_are_refused():
    xyz_m, intensity = cloud(5)
    xyz_m[3, 1] = np.nan
    with pytest.raises(UserError, match="1 points of frame 0"):
        voxelize(Voxelizer(), [xyz_m], [intensity])


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("size", [0.1, 0.0, 0.1], "above 0"),
        ("range_m", [1, 0, 0, -1, 1, 1], "range_m takes"),
        ("coordinates", "spherical", "cylindrical"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, value, says):
    with pytest.raises(UserError, match=says):
        Voxelizer().override({setting: value})


def test_real_scan(shared_data):
    for scan in sorted(shared_data.glob("nuscenes_*/samples/LIDAR_TOP/*.pcd.bin")):
        points = np.fromfile(scan, dtype=np.float32).reshape(-1, 5)
        voxels = voxelize(Voxelizer(), [points[:, :3]], [points[:, 3]])
        assert 10_000 < len(voxels.kept_point) < len(points)
        assert voxels.voxel_of_point.min() == 0
