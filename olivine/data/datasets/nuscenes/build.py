"""From nuScenes tables to one columnar table: a row per keyframe."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes.classes import class_lookup, official_indices
from olivine.data.datasets.nuscenes.tables import (
    CAMERAS,
    LIDAR,
    CalibratedSensor,
    Category,
    EgoPose,
    Lidarseg,
    Sample,
    SampleData,
    Scene,
    Sensor,
    by_token,
    read_rows,
)
from olivine.data.geometry.projection import compose_cam_SE3_lidar
from olivine.data.geometry.rigid import se3

CHANNELS = (LIDAR, *CAMERAS)
TABLES = ("category", "sensor", "calibrated_sensor", "ego_pose", "scene", "sample", "sample_data")
LABEL_TABLE = "lidarseg"  # only in the lidarseg release


@dataclass
class _Keyframes:
    """Seven files per keyframe, in flat lists at keyframe * 7 + channel."""

    samples: list[Sample]
    scenes: list[tuple[str, int, int]]  # name, first keyframe, one past the last
    names: list[str | None] = field(default_factory=list)
    calibrations: list[str] = field(default_factory=list)
    poses: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)  # rows, columns
    scan_tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        num_files = len(self.samples) * len(CHANNELS)
        self.names = [None] * num_files
        self.calibrations = [""] * num_files
        self.poses = [""] * num_files
        self.sizes = [(0, 0)] * num_files
        self.scan_tokens = [""] * len(self.samples)

    def put(self, sample: int, channel: int, row: SampleData) -> None:
        place = sample * len(CHANNELS) + channel
        self.names[place] = row.filename
        self.calibrations[place] = row.calibrated_sensor_token
        self.poses[place] = row.ego_pose_token
        self.sizes[place] = (row.height, row.width)
        if channel == 0:
            self.scan_tokens[sample] = row.token


def build_table(folder: Path) -> pa.Table:
    """Return the index of one version folder; scenes lie in the order of scene.json.

    Poses are float64. A keyframe that lacks a channel has no name there. Raises UserError naming
    the row and the table of the first broken link.
    """
    keyframes = _walk(folder)
    calibrated = by_token(folder, "calibrated_sensor", CalibratedSensor)
    _read_files(folder, keyframes, calibrated)
    ego_SE3_sensor, intrinsics_px = _calibrations(folder, keyframes, calibrated)
    global_SE3_ego = _ego_poses(folder, keyframes)
    cam_SE3_lidar = compose_cam_SE3_lidar(
        ego_SE3_sensor[:, :1], global_SE3_ego[:, :1], global_SE3_ego[:, 1:], ego_SE3_sensor[:, 1:]
    )
    label_names, lookup = _labels(folder, keyframes)
    num_frames, width = len(keyframes.samples), len(CHANNELS)
    images = [name for place, name in enumerate(keyframes.names) if place % width]
    sizes = np.array(keyframes.sizes, np.int32).reshape(num_frames, width, 2)[:, 1:]
    columns = {
        "token": pa.array([sample.token for sample in keyframes.samples], pa.string()),
        "time_ns": np.array([sample.timestamp for sample in keyframes.samples], np.int64) * 1000,
        "scan_token": pa.array(keyframes.scan_tokens, pa.string()),
        "scan_name": pa.array(keyframes.names[::width], pa.string()),
        "label_name": pa.array(label_names, pa.string()),
        "image_name": pa.FixedSizeListArray.from_arrays(
            pa.array(images, pa.string()), len(CAMERAS)
        ),
        "cam_SE3_lidar": _rows(cam_SE3_lidar),
        "global_SE3_lidar": _rows(global_SE3_ego[:, 0] @ ego_SE3_sensor[:, 0]),
        "intrinsics_px": _rows(intrinsics_px[:, 1:]),
        "image_size_px": _rows(sizes),
    }
    about = {
        "scenes": keyframes.scenes,
        "cameras": CAMERAS,
        "class_lookup": lookup,
    }
    return pa.table(columns).replace_schema_metadata({"olivine": json.dumps(about)})


def _walk(folder: Path) -> _Keyframes:
    """Return all keyframes, scene by scene along each scene's chain."""
    samples = by_token(folder, "sample", Sample)
    walked: list[Sample] = []
    scenes: list[tuple[str, int, int]] = []
    for scene in read_rows(folder, "scene", Scene):
        first, token = len(walked), scene.first_sample_token
        while token:
            if token not in samples:
                raise UserError(_broken(folder, f"scene {scene.name!r}", "sample", token))
            if len(walked) == len(samples):
                raise UserError(
                    f"The chain of samples of scene {scene.name!r} in {folder} never ends or is "
                    f"shared; {_advice(folder)}"
                )
            walked.append(samples[token])
            token = samples[token].next
        scenes.append((scene.name, first, len(walked)))
    return _Keyframes(walked, scenes)


def _read_files(
    folder: Path, keyframes: _Keyframes, calibrated: dict[str, CalibratedSensor]
) -> None:
    """Note the keyframe files of the LiDAR and the cameras; drop everything else at once."""
    sensors = by_token(folder, "sensor", Sensor)
    channel_of: dict[str, int] = {}
    for mounted in calibrated.values():
        if mounted.sensor_token not in sensors:
            name = f"calibrated_sensor {mounted.token!r}"
            raise UserError(_broken(folder, name, "sensor", mounted.sensor_token))
        name = sensors[mounted.sensor_token].channel
        channel_of[mounted.token] = CHANNELS.index(name) if name in CHANNELS else -1
    place_of = {sample.token: place for place, sample in enumerate(keyframes.samples)}
    for row in read_rows(folder, "sample_data", SampleData):
        if not row.is_key_frame:
            continue
        channel = channel_of.get(row.calibrated_sensor_token)
        place = place_of.get(row.sample_token)
        if channel is None or place is None:
            table = "calibrated_sensor" if channel is None else "sample"
            token = row.calibrated_sensor_token if channel is None else row.sample_token
            raise UserError(_broken(folder, f"sample_data {row.token!r}", table, token))
        if channel >= 0:
            keyframes.put(place, channel, row)


def _calibrations(
    folder: Path, keyframes: _Keyframes, calibrated: dict[str, CalibratedSensor]
) -> tuple[Float[np.ndarray, "F 7 4 4"], Float[np.ndarray, "F 7 3 3"]]:
    rows = list(calibrated.values())
    number_of = {row.token: number for number, row in enumerate(rows)}
    number_of[""] = len(rows)  # a file that is not there
    ego_SE3_sensor = _matrices([(row.rotation, row.translation) for row in rows])
    intrinsics_px = np.tile(np.eye(3), (len(rows) + 1, 1, 1))
    for number, row in enumerate(rows):
        if row.camera_intrinsic:
            matrix = np.array(row.camera_intrinsic)
            if matrix.shape != (3, 3):
                raise UserError(
                    f"calibrated_sensor {row.token!r} in {folder} has a camera matrix of shape "
                    f"{matrix.shape}, not 3 x 3; {_advice(folder)}"
                )
            intrinsics_px[number] = matrix
    chosen = np.array([number_of[token] for token in keyframes.calibrations], np.int64)
    chosen = chosen.reshape(-1, len(CHANNELS))
    _require_finite(folder, "calibrated_sensor", ego_SE3_sensor)
    return ego_SE3_sensor[chosen], intrinsics_px[chosen]


def _ego_poses(folder: Path, keyframes: _Keyframes) -> Float[np.ndarray, "F 7 4 4"]:
    number_of = {token: number for number, token in enumerate(dict.fromkeys(keyframes.poses))}
    number_of.pop("", None)
    poses: dict[str, tuple] = {}
    for row in read_rows(folder, "ego_pose", EgoPose):
        if row.token in number_of:
            poses[row.token] = (row.rotation, row.translation)
    for place, token in enumerate(keyframes.poses):
        if token and token not in poses:
            name = f"the file {keyframes.names[place]}"
            raise UserError(_broken(folder, name, "ego_pose", token))
    row_of = {token: row for row, token in enumerate(poses)}
    row_of[""] = len(poses)
    global_SE3_ego = _matrices(list(poses.values()))
    _require_finite(folder, "ego_pose", global_SE3_ego)
    chosen = np.array([row_of[token] for token in keyframes.poses], np.int64)
    return global_SE3_ego[chosen.reshape(-1, len(CHANNELS))]


def _labels(folder: Path, keyframes: _Keyframes) -> tuple[list[str | None], list[int] | None]:
    """Return each scan's label file and the class of each raw label, if the version has labels."""
    files: dict[str, str] = {}
    if (folder / f"{LABEL_TABLE}.json").exists():
        rows = read_rows(folder, LABEL_TABLE, Lidarseg)
        files = {row.sample_data_token: row.filename for row in rows}
    names = [files.get(token) for token in keyframes.scan_tokens]
    if not files:  # the test version has the table, but no row in it
        return names, None
    indices = official_indices()
    given = {row.name: row.index for row in read_rows(folder, "category", Category)}
    unknown = [name for name in given if name not in indices]
    if unknown:
        raise UserError(
            f"{folder / 'category.json'} has the class {unknown[0]!r}, which nuScenes-lidarseg "
            "does not: its label files cannot be read."
        )
    indexed = {name: index for name, index in given.items() if index is not None}
    return names, class_lookup(indexed or indices).tolist()


def _matrices(poses: list[tuple]) -> Float[np.ndarray, "poses 4 4"]:
    """Return one matrix per (rotation, translation), and the identity after the last."""
    rotation = np.array([pose[0] for pose in poses] + [(1.0, 0.0, 0.0, 0.0)])
    translation = np.array([pose[1] for pose in poses] + [(0.0, 0.0, 0.0)])
    with np.errstate(invalid="ignore"):  # a quaternion of zeros is reported by name
        return se3(rotation, translation)


def _require_finite(folder: Path, table: str, matrices: np.ndarray) -> None:
    if not np.isfinite(matrices).all():
        raise UserError(
            f"{folder / table}.json holds a pose that is none: its rotation has no length or a "
            f"number is not finite; {_advice(folder)}"
        )


def _rows(array: np.ndarray) -> pa.FixedSizeListArray:
    """Return an array of one fixed-size list per keyframe, which maps back without a copy."""
    width = int(np.prod(array.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).ravel()), width)


def _broken(folder: Path, row: str, table: str, token: str) -> str:
    return f"{row} in {folder} names the {table} {token!r}, which is not there; {_advice(folder)}"


def _advice(folder: Path) -> str:
    return f"`olivine data check {folder.parent}` lists all such faults."
