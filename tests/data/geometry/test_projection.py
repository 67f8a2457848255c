import numpy as np
import pytest

from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.geometry.projection import (
    MIN_DEPTH_M,
    compose_cam_SE3_lidar,
    correspondences,
    project,
)
from olivine.data.geometry.rigid import inverse, se3, transform

KEYFRAMES = {
    "nuscenes_scene0061_keyframe0": "v1.0-mini",
    "nuscenes_val_fd842039": "v1.0-trainval",
}
PINHOLE = np.array([[[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]]])
SIZE = np.array([[81, 101]])


@pytest.fixture(scope="module", params=KEYFRAMES)
def real(request, shared_data, tmp_path_factory):
    """A real keyframe by our reader, and nuscenes-devkit with the same tables."""
    devkit = pytest.importorskip("nuscenes.nuscenes")
    root, version = shared_data / request.param, KEYFRAMES[request.param]
    dataset = Nuscenes(version=version, split="all")
    frames = dataset.open(root, tmp_path_factory.mktemp("cache"))
    return frames, frames.frame(0), devkit.NuScenes(version, str(root), verbose=False)


def devkit_pixels(nusc, token, camera):
    """u, v and depth of the points that nuscenes-devkit draws into one camera."""
    data = nusc.get("sample", token)["data"]
    uv1, depth_m, _ = nusc.explorer.map_pointcloud_to_image(data["LIDAR_TOP"], data[camera])
    return uv1[:2].T, depth_m


@pytest.fixture
def in_double(monkeypatch):
    """Let the devkit carry points in double precision instead of rounding five times."""
    from nuscenes.utils.data_classes import LidarPointCloud

    read = LidarPointCloud.from_file

    def from_file(name):
        return LidarPointCloud(read(name).points.astype(np.float64))

    monkeypatch.setattr(LidarPointCloud, "from_file", from_file)


def drawn(frame, margin_px):
    """Pairs under a margin, with u, v and depth of each."""
    pairs = correspondences(
        frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, frame.image_size_px, margin_px
    )
    uv_px, depth_m = project(frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px)
    camera = pairs.pixel_index[:, 0]
    return pairs, uv_px[camera, pairs.point_index], depth_m[camera, pairs.point_index]


def test_real_pairs_are_nuscenes_devkits_to_double_precision(real, in_double):
    frames, frame, nusc = real
    pairs, uv_px, depth_m = drawn(frame, margin_px=1.0)
    for number, camera in enumerate(frames.camera_names):
        mine = pairs.pixel_index[:, 0] == number
        theirs_px, theirs_m = devkit_pixels(nusc, frame.token, camera)
        assert mine.sum() == len(theirs_px) > 1000
        np.testing.assert_allclose(depth_m[mine], theirs_m, rtol=0, atol=1e-9)
        np.testing.assert_allclose(uv_px[mine], theirs_px, rtol=0, atol=1e-6)


def test_real_pair_counts_are_nuscenes_devkits_as_it_is_shipped(real):
    frames, frame, nusc = real
    pairs, uv_px, depth_m = drawn(frame, margin_px=1.0)
    for number, camera in enumerate(frames.camera_names):
        mine = pairs.pixel_index[:, 0] == number
        theirs_px, theirs_m = devkit_pixels(nusc, frame.token, camera)
        assert mine.sum() == len(theirs_px)
        # It rounds points to float32 in global coordinates of some thousand metres.
        np.testing.assert_allclose(depth_m[mine], theirs_m, rtol=0, atol=1e-3)
        off_px = np.abs(uv_px[mine] - theirs_px).max(axis=1)
        assert np.quantile(off_px, 0.99) < 0.05


def test_real_pairs_follow_slidrs_five_steps_with_margin_zero(real):
    frames, frame, nusc = real
    pairs = correspondences(
        frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, frame.image_size_px
    )
    expected = list(slidr_pairs(nusc, frame, frames.camera_names))
    np.testing.assert_array_equal(
        np.column_stack([pairs.point_index, pairs.pixel_index]), np.concatenate(expected)
    )


def slidr_pairs(nusc, frame, cameras):
    """Point, camera, row and column of each pair by SLidR's rule, step by step."""
    data = nusc.get("sample", frame.token)["data"]
    lidar = nusc.get("sample_data", data["LIDAR_TOP"])
    for number, camera in enumerate(cameras):
        image = nusc.get("sample_data", data[camera])
        mounted = nusc.get("calibrated_sensor", image["calibrated_sensor_token"])
        xyz_m = frame.xyz_m.astype(np.float64)
        xyz_m = pose(nusc.get("calibrated_sensor", lidar["calibrated_sensor_token"]), xyz_m)
        xyz_m = pose(nusc.get("ego_pose", lidar["ego_pose_token"]), xyz_m)
        xyz_m = back(nusc.get("ego_pose", image["ego_pose_token"]), xyz_m)
        xyz_m = back(mounted, xyz_m)
        u, v, depth_m = np.array(mounted["camera_intrinsic"]) @ xyz_m.T
        u, v = u / depth_m, v / depth_m
        seen = (xyz_m[:, 2] > 1.0) & (u > 0) & (u < 1600 - 1) & (v > 0) & (v < 900 - 1)
        rows, columns = np.round(v[seen]).astype(int), np.round(u[seen]).astype(int)
        point = np.flatnonzero(seen)
        yield np.column_stack([point, np.full(len(point), number), rows, columns])


def pose(record, xyz_m):
    from pyquaternion import Quaternion

    return xyz_m @ Quaternion(record["rotation"]).rotation_matrix.T + record["translation"]


def back(record, xyz_m):
    from pyquaternion import Quaternion

    return (xyz_m - np.array(record["translation"])) @ Quaternion(
        record["rotation"]
    ).rotation_matrix


def random_poses(seed, num, spread_m):
    generator = np.random.default_rng(seed)
    return se3(generator.normal(size=(num, 4)), spread_m * generator.normal(size=(num, 3)))


def test_one_matrix_is_the_five_steps():
    ego_SE3_lidar, ego_SE3_cam = random_poses(0, 1, 2.0)[0], random_poses(1, 6, 2.0)
    at_scan, at_image = random_poses(2, 1, 2e3)[0], random_poses(3, 6, 2e3)
    xyz_m = np.random.default_rng(4).uniform(-50, 50, (20, 3))
    cam_SE3_lidar = compose_cam_SE3_lidar(ego_SE3_lidar, at_scan, at_image, ego_SE3_cam)
    for camera in range(6):
        steps = transform(at_scan, transform(ego_SE3_lidar, xyz_m))
        steps = transform(inverse(at_image[camera]), steps)
        steps = transform(inverse(ego_SE3_cam[camera]), steps)
        np.testing.assert_allclose(transform(cam_SE3_lidar[camera], xyz_m), steps, atol=1e-8)


def test_where_the_world_begins_does_not_matter():
    ego_SE3_lidar, ego_SE3_cam = random_poses(0, 1, 2.0), random_poses(1, 1, 2.0)
    at_scan, at_image = random_poses(2, 1, 5.0), random_poses(3, 1, 5.0)
    near = compose_cam_SE3_lidar(ego_SE3_lidar, at_scan, at_image, ego_SE3_cam)
    for moved in (at_scan, at_image):
        moved[:, :3, 3] += [4096.0, 8192.0, 0.0]
    far = compose_cam_SE3_lidar(ego_SE3_lidar, at_scan, at_image, ego_SE3_cam)
    np.testing.assert_allclose(far, near, atol=1e-11)


def test_a_moving_ego_shifts_the_pixels():
    """One ego pose for both times would be wrong: 12 m/s for 43 ms are half a metre."""
    unit = np.eye(4)
    later = unit.copy()
    later[0, 3] = 12.0 * 0.043
    still = compose_cam_SE3_lidar(unit, unit, unit, unit)
    moving = compose_cam_SE3_lidar(unit, unit, later, unit)
    point = np.array([[0.0, 0.0, 10.0]])
    (uv_still, _), (uv_moving, _) = (
        project(point, pose[None], PINHOLE) for pose in (still, moving)
    )
    assert uv_still[0, 0, 0] - uv_moving[0, 0, 0] == pytest.approx(100 * 0.516 / 10)


def pinhole_pairs(u, v, depth_m, margin_px=0.0):
    """Pairs of points made to lie at given pixels and depths of one camera."""
    u, v, depth_m = (np.atleast_1d(np.asarray(values, float)) for values in (u, v, depth_m))
    xyz_m = np.stack([(u - 50) / 100 * depth_m, (v - 40) / 100 * depth_m, depth_m], axis=1)
    return correspondences(xyz_m, np.eye(4)[None], PINHOLE, SIZE, margin_px)


def test_pixels_come_back_from_the_points_they_see():
    generator = np.random.default_rng(0)
    rows, columns = generator.integers(1, 80, 200), generator.integers(1, 100, 200)
    pairs = pinhole_pairs(columns, rows, generator.uniform(1.1, 60.0, 200))
    np.testing.assert_array_equal(pairs.pixel_index[:, 1], rows)
    np.testing.assert_array_equal(pairs.pixel_index[:, 2], columns)
    np.testing.assert_array_equal(pairs.point_index, np.arange(200))


@pytest.mark.parametrize(
    ("u", "v", "depth_m", "seen"),
    [
        (50, 40, 2.0, True),
        (50, 40, MIN_DEPTH_M, False),
        (50, 40, -2.0, False),  # behind the camera its mirror image is in view
        (0.01, 40, 2.0, True),
        (-0.01, 40, 2.0, False),
        (99.99, 40, 2.0, True),
        (100.01, 40, 2.0, False),
        (50, 0.01, 2.0, True),
        (50, -0.01, 2.0, False),
        (50, 79.99, 2.0, True),
        (50, 80.01, 2.0, False),
    ],
)
def test_what_a_camera_sees(u, v, depth_m, seen):
    assert len(pinhole_pairs(u, v, depth_m)) == seen


def test_the_margin_is_on_the_near_sides_alone():
    assert len(pinhole_pairs([0.9, 50.0], [40.0, 0.9], [2.0, 2.0], margin_px=1.0)) == 0
    assert len(pinhole_pairs([99.5, 50.0], [40.0, 79.5], [2.0, 2.0], margin_px=1.0)) == 2


def test_a_point_in_two_cameras_has_two_pairs():
    pairs = correspondences(
        np.array([[0.0, 0.0, 5.0]]),
        np.tile(np.eye(4), (2, 1, 1)),
        np.tile(PINHOLE, (2, 1, 1)),
        np.tile(SIZE, (2, 1)),
    )
    np.testing.assert_array_equal(pairs.point_index, [0, 0])
    np.testing.assert_array_equal(pairs.pixel_index, [[0, 40, 50], [1, 40, 50]])


def test_a_camera_that_sees_nothing_and_an_empty_scan_have_no_pairs():
    assert len(pinhole_pairs(500, 500, 3.0)) == 0
    assert len(pinhole_pairs([], [], [])) == 0
