"""Scans in files are read as their data sets read them; arrays are checked."""

import numpy as np
import pytest

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.semantic_kitti import SemanticKitti
from olivine.data.scans import checked_scan, read_scan_file
from tests.support.kitti_scans import SmallKitti


def test_a_nuscenes_file_is_the_scan_of_its_keyframe(tiny_world, tmp_path):
    frames = Nuscenes(version="v1.0-mini", split="mini_val").open(tiny_world, tmp_path)
    frame = frames.frame(0, images=False)
    by_size = {path.stat().st_size: path for path in tiny_world.glob("samples/LIDAR_TOP/*.bin")}
    scan = read_scan_file(by_size[len(frame.xyz_m) * 20])
    found = [
        read_scan_file(path)
        for path in tiny_world.glob("samples/LIDAR_TOP/*.bin")
        if path.stat().st_size == len(frame.xyz_m) * 20
    ]
    assert any(np.array_equal(scan.xyz_m, frame.xyz_m) for scan in found)
    assert any(np.array_equal(scan.intensity, frame.intensity) for scan in found)
    assert (scan.xyz_m.dtype, scan.intensity.dtype) == (np.float32, np.float32)


def test_a_kitti_file_is_the_scan_of_its_data_set(tmp_path):
    kitti = SmallKitti(tmp_path, {"08": 2})
    frame = SemanticKitti(split="val", allow_partial=True).open(tmp_path, tmp_path).frame(1)
    scan = read_scan_file(kitti.scan("08", 1))
    np.testing.assert_array_equal(scan.xyz_m, frame.xyz_m)
    np.testing.assert_array_equal(scan.intensity, frame.intensity)


def test_an_array_file_is_taken_as_it_is(tmp_path):
    points = np.random.default_rng(0).uniform(-5, 5, (7, 6))
    np.save(tmp_path / "scan.npy", points)
    scan = read_scan_file(tmp_path / "scan.npy")
    np.testing.assert_array_equal(scan.xyz_m, points[:, :3].astype(np.float32))
    np.testing.assert_array_equal(scan.intensity, points[:, 3].astype(np.float32))


BROKEN = {
    "a.pcd.bin": (b"x" * 30, "30 bytes, which is not a number of points of 5 float32"),
    "a.bin": (b"x" * 20, "20 bytes, which is not a number of points of 4 float32"),
    "b.bin": (b"", "0 bytes"),
    "c.bin": (np.array([0, 0, np.nan, 0], "<f4").tobytes(), "1 points of 1 that are not finite"),
    "a.npy": (b"points", "cannot be read as an array"),
    "a.ply": (b"ply", r"nuScenes' end in \.pcd\.bin"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_scan_is_told_by_its_name(tmp_path, name):
    data, said = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=said) as told:
        read_scan_file(tmp_path / name)
    assert str(tmp_path / name) in str(told.value)


def test_a_file_with_objects_is_not_run(tmp_path):
    np.save(tmp_path / "scan.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read as an array"):
        read_scan_file(tmp_path / "scan.npy")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*none\.bin: No such file"):
        read_scan_file(tmp_path / "none.bin")


def test_a_checked_scan_is_float32_and_in_one_piece():
    points = np.arange(40, dtype=np.float64).reshape(5, 8)
    scan = checked_scan(points)
    for array in scan:
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
    np.testing.assert_array_equal(scan.intensity, points[:, 3])
