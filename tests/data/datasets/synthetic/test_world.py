"""The world's honesty: its skew, its ranges, its intensities, and images that agree with scans."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from olivine.data.datasets.nuscenes.classes import CLASS_NAMES
from olivine.data.datasets.synthetic.export.writing import read_truth
from olivine.data.datasets.synthetic.world.taxonomy import Category, class_of_category
from olivine.data.geometry.projection import compose_cam_SE3_lidar, correspondences
from olivine.data.geometry.rigid import se3
from olivine.data.records import IGNORE

VAL_SCENES = ("scene-0103", "scene-0916")


@dataclass(frozen=True)
class Scans:
    """All points of a world."""

    rows: np.ndarray  # (N, 5) as stored
    category: np.ndarray
    class_ids: np.ndarray
    in_val: np.ndarray


def rows_of(root: Path, table: str) -> dict[str, dict]:
    rows = json.loads((root / "v1.0-mini" / f"{table}.json").read_text())
    return {row["token"]: row for row in rows}


@pytest.fixture(scope="module")
def scans(tiny_world: Path) -> Scans:
    readings, samples = rows_of(tiny_world, "sample_data"), rows_of(tiny_world, "sample")
    scenes = rows_of(tiny_world, "scene")
    points, categories, val = [], [], []
    for token, row in rows_of(tiny_world, "lidarseg").items():
        reading = readings[token]
        points.append(np.fromfile(tiny_world / reading["filename"], "<f4").reshape(-1, 5))
        categories.append(np.fromfile(tiny_world / row["filename"], np.uint8))
        scene = scenes[samples[reading["sample_token"]]["scene_token"]]["name"]
        val.append(np.full(len(points[-1]), scene in VAL_SCENES))
    category = np.concatenate(categories)
    return Scans(
        np.concatenate(points), category, class_of_category()[category], np.concatenate(val)
    )


def test_scans_have_nuscenes_form(scans: Scans) -> None:
    rows = scans.rows
    np.testing.assert_array_equal(rows[:, 4], np.arange(len(rows)) % 32)
    assert np.all(rows[:, 3] == np.round(rows[:, 3]))
    assert 0 <= rows[:, 3].min() <= rows[:, 3].max() <= 255
    missed = scans.category == Category.NOISE
    assert 0.05 < missed.mean() < 0.3
    assert np.abs(rows[missed][:, [0, 2]]).max() < 0.05  # the sensor's own path: along y only
    assert -0.9 < rows[missed][:, 1].min() < -0.15  # 50 ms at up to 14 m/s
    own = rows[scans.category == Category.EGO]
    assert 0.05 < len(own) / len(rows) < 0.2
    assert np.linalg.norm(own[:, :3], axis=1).max() < 3
    elevation = np.rad2deg(np.arctan2(rows[~missed, 2], np.hypot(*rows[~missed, :2].T)))
    expected = -30.67 + 1.3333 * rows[~missed, 4]
    far = np.linalg.norm(rows[~missed, :3], axis=1) > 5
    assert np.abs(elevation - expected)[far].max() < 6  # the car moved up to 0.7 m in the sweep


def test_firings_turn_clockwise_from_the_left(tiny_world: Path) -> None:
    path = sorted((tiny_world / "samples/LIDAR_TOP").iterdir())[0]
    rows = np.fromfile(path, "<f4").reshape(-1, 32, 5)
    for firing, azimuth in ((30, 90), (60, 0), (90, -90)):
        points = rows[firing, :, :2]
        points = points[np.hypot(*points.T) > 10]
        middle = np.rad2deg(np.median(np.arctan2(points[:, 1], points[:, 0])))
        assert abs((middle - azimuth + 180) % 360 - 180) < 6


def test_classes_are_as_skewed_as_in_nuscenes(scans: Scans) -> None:
    count = np.bincount(scans.class_ids[scans.class_ids != IGNORE], minlength=16)
    share = dict(zip(CLASS_NAMES, count / count.sum(), strict=True))
    assert 0.28 < share["driveable_surface"] < 0.48  # nuScenes: 0.375
    assert 0.12 < share["manmade"] < 0.30  # 0.21
    assert 0.06 < share["vegetation"] < 0.22  # 0.145
    for name, most in (("bicycle", 0.008), ("motorcycle", 0.01), ("traffic_cone", 0.006)):
        assert 0 < share[name] < most
    assert share["pedestrian"] < 0.015
    assert share["car"] > 3 * share["pedestrian"]
    assert list(share)[count.argmax()] == "driveable_surface"


def test_most_points_are_near(scans: Scans) -> None:
    distance = np.linalg.norm(scans.rows[:, :3], axis=1)
    quarter, half, most, tail = np.percentile(distance, [25, 50, 75, 90])
    # One real frame: 3.7, 6.7, 14 and 29 m.
    assert 2 < quarter < 5
    assert 4 < half < 9
    assert 9 < most < 20
    assert 20 < tail < 40


@pytest.mark.parametrize("balanced", [False, True])
def test_intensity_alone_says_almost_nothing(scans: Scans, balanced: bool) -> None:
    """The best guess per intensity, learnt on train: nearly the majority's accuracy on val."""
    labelled = scans.class_ids != IGNORE
    level, truth = scans.rows[:, 3].astype(int), scans.class_ids
    train, val = labelled & ~scans.in_val, labelled & scans.in_val
    seen = np.zeros((256, 16))
    np.add.at(seen, (level[train], truth[train]), 1)
    guess = (seen / seen.sum(axis=0) if balanced else seen).argmax(axis=1)[level[val]]
    confusion = np.zeros((16, 16))
    np.add.at(confusion, (truth[val], guess), 1)
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    assert (hits / np.maximum(union, 1)).mean() < 0.08
    assert hits.sum() / confusion.sum() < (truth[val] == 10).mean() + 0.06


def test_images_and_scans_see_the_same_surfaces(tiny_world: Path) -> None:
    """Class at the projected pixel equals the point's, where no nearer thing hides the point."""
    agree = total = 0
    readings = list(rows_of(tiny_world, "sample_data").values())
    labels = rows_of(tiny_world, "lidarseg")
    for scan_row in [row for row in readings if row["fileformat"] == "pcd"][::3]:
        points = np.fromfile(tiny_world / scan_row["filename"], "<f4").reshape(-1, 5)[:, :3]
        category = np.fromfile(tiny_world / labels[scan_row["token"]]["filename"], np.uint8)
        truth = class_of_category()[category]
        for image_row in readings:
            if (
                image_row["fileformat"] != "jpg"
                or image_row["sample_token"] != scan_row["sample_token"]
            ):
                continue
            found, right = _agreement(tiny_world, scan_row, image_row, points, truth)
            agree, total = agree + right, total + found
    assert total > 2000
    assert agree / total > 0.95


def _agreement(
    root: Path, scan_row: dict, image_row: dict, points: np.ndarray, truth: np.ndarray
) -> tuple[int, int]:
    """Count points in one image, and those whose class is that of their pixel."""
    calibration, poses = rows_of(root, "calibrated_sensor"), rows_of(root, "ego_pose")

    def matrix(row: dict) -> np.ndarray:
        return se3(np.array(row["rotation"]), np.array(row["translation"]))

    scanner = calibration[scan_row["calibrated_sensor_token"]]
    camera = calibration[image_row["calibrated_sensor_token"]]
    chain = compose_cam_SE3_lidar(
        matrix(scanner), matrix(poses[scan_row["token"]]),
        matrix(poses[image_row["token"]]), matrix(camera),
    )  # fmt: skip
    size = np.array([[image_row["height"], image_row["width"]]])
    intrinsics = np.array(camera["camera_intrinsic"])[None]
    pairs = correspondences(points.astype(np.float64), chain[None], intrinsics, size)
    pixels = read_truth(root, image_row["filename"])
    classes, (_, row, column) = truth[pairs.point_index], pairs.pixel_index.T
    depth = (points[pairs.point_index] @ chain[2, :3] + chain[2, 3]).round(3)
    # Unhidden: nothing projects within 2 pixels of it from more than 5 % nearer. Labelled, and
    # not at a class's border in the image, where a third of a pixel decides.
    apart = np.hypot(row[:, None] - row, column[:, None] - column) < 3
    hidden = (apart & (depth[None] < 0.95 * depth[:, None])).any(axis=1)
    padded = np.pad(pixels, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[row, column].reshape(-1, 9)
    flat = (windows == windows[:, :1]).all(axis=1)
    judged = (classes != IGNORE) & flat & ~hidden
    return int(judged.sum()), int((pixels[row, column] == classes)[judged].sum())


def test_images_are_rgb_and_not_flat(tiny_world: Path) -> None:
    for path in sorted(tiny_world.glob("samples/CAM_*/*.jpg"))[::17]:
        image = np.asarray(Image.open(path))
        assert image.shape == (90, 160, 3)
        assert 40 < image.mean() < 215
        assert image.std() > 18
