"""Scans that a user gives as arrays or files, checked before a network reads them."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.semantic_kitti import SemanticKitti

SUFFIXES = (".pcd.bin", ".bin", ".npy")  # the first that fits a name states the file's format
NUSCENES_COLUMNS, KITTI_COLUMNS = 5, 4  # float32: x, y, z, intensity and, of nuScenes, the ring
_AS_KITTI = SemanticKitti()  # scales a remission as its recipes do


class Scan(NamedTuple):
    """The points of one LiDAR rotation, in the LiDAR's frame."""

    xyz_m: np.ndarray  # float32 (points, 3), metres
    intensity: np.ndarray  # float32 (points,), scaled as the network's data set


def checked_scan(points: Any, intensity: Any = None, name: str = "the scan") -> Scan:
    """Return a scan from a user's arrays.

    `points` is (points, 3) in metres beside `intensity` (points,), or alone (points, 4 or more),
    with the intensity in the fourth column; further columns are not used. Raises UserError that
    names the scan for other shapes, for text, for an empty scan and for values that are not finite.
    """
    rows = _numbers(points, name)
    if rows.ndim != 2:
        raise UserError(f"{_capital(name)} has the shape {rows.shape}: give (points, columns).")
    if intensity is None:
        if rows.shape[1] < 4:
            raise UserError(
                f"{_capital(name)} has {rows.shape[1]} columns: give x, y, z in metres and "
                "intensity as four columns, or x, y, z and the intensity apart."
            )
        xyz_m, values = rows[:, :3], rows[:, 3]
    else:
        xyz_m, values = rows, _numbers(intensity, f"the intensity of {name}")
        if rows.shape[1] != 3 or values.shape != (len(rows),):
            raise UserError(
                f"{_capital(name)} has positions of shape {rows.shape} and intensities of shape "
                f"{values.shape}: give (points, 3) and (points,)."
            )
    if not len(rows):
        raise UserError(f"{_capital(name)} has no points.")
    bad = ~(np.isfinite(xyz_m).all(axis=1) & np.isfinite(values))
    if bad.any():
        raise UserError(
            f"{_capital(name)} has {int(bad.sum())} points of {len(rows)} that are not finite "
            "numbers (NaN or infinite): leave them out."
        )
    return Scan(np.ascontiguousarray(xyz_m), np.ascontiguousarray(values))


def read_scan_file(path: str | Path) -> Scan:
    """Return the scan in a file; the file's name states its format.

    `*.pcd.bin` is nuScenes' (float32 x, y, z, intensity 0 to 255, ring), any other `*.bin`
    SemanticKITTI's (float32 x, y, z, remission 0 to 1, returned as remission + 1 as in that data
    set's recipes), and `*.npy` an array of (points, 4 or more) whose intensity is taken as it is.
    The path may be a bucket's URI. Raises UserError that names the file.
    """
    name = str(path)
    suffix = suffix_of(name)
    data = _read(name)
    if suffix == ".npy":
        return checked_scan(_array(data, name), name=name)
    columns = NUSCENES_COLUMNS if suffix == ".pcd.bin" else KITTI_COLUMNS
    if not data or len(data) % (4 * columns):
        raise UserError(
            f"{name} has {len(data)} bytes, which is not a number of points of {columns} float32 "
            f"values each: a scan of {columns} columns is expected in a file {suffix}."
        )
    points = np.frombuffer(data, "<f4").reshape(-1, columns)
    if suffix == ".pcd.bin":
        return checked_scan(points, name=name)
    intensity = points[:, 3] * _AS_KITTI.intensity_scale + _AS_KITTI.intensity_offset
    return checked_scan(points[:, :3], intensity, name=name)


def suffix_of(name: str) -> str:
    """Return the suffix that states a scan file's format; raise UserError for another suffix."""
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise UserError(
        f"{name} is no scan that can be read: nuScenes' end in .pcd.bin, SemanticKITTI's in .bin, "
        "arrays of (points, 4 or more) in .npy."
    )


def _numbers(given: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(given).astype(np.float32)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{_capital(name)} is no array of numbers ({reason}).") from None


def _capital(name: str) -> str:
    return f"T{name[1:]}" if name.startswith("the ") else name


def _read(name: str) -> bytes:
    folder, _, file = name.rpartition("/")
    return Store(folder or ("/" if name.startswith("/") else ".")).read(file)


def _array(data: bytes, name: str) -> np.ndarray:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} cannot be read as an array ({reason}).") from None
