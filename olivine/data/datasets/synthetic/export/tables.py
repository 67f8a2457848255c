"""nuScenes' tables of the recordings, independent of how the world was made.

The tables are those of v1.0-mini with lidarseg. Radars are in the sensor table without recordings,
and only keyframes are written, without sweeps between them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olivine.data.datasets.synthetic.config import token
from olivine.data.datasets.synthetic.rig import CAMERA_NAMES, RADAR_NAMES, Mount, Rig
from olivine.data.datasets.synthetic.world.taxonomy import ATTRIBUTES, CATEGORY_NAMES, VISIBILITIES

VERSION = "v1.0-mini"
LOCATIONS = (
    "boston-seaport",
    "singapore-hollandvillage",
    "singapore-onenorth",
    "singapore-queenstown",
)
Row = dict[str, Any]
_FORMATS = {"CAM": ("jpg", "jpg"), "LIDAR": ("pcd", "pcd.bin")}
_TABLES = (
    "category", "attribute", "visibility", "sensor", "calibrated_sensor", "ego_pose", "log", "map",
    "scene", "sample", "sample_data", "instance", "sample_annotation", "lidarseg",
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One file of one sensor, and the car's pose at its time."""

    channel: str
    time_us: int
    translation_m: tuple[float, ...]  # global_SE3_ego
    rotation_wxyz: tuple[float, ...]


@dataclass(frozen=True)
class Box:
    """One annotated object at one keyframe."""

    actor: int  # its number in the scene
    category: str
    attribute: str  # name, or "" for none
    visibility: str  # token "1".."4"
    translation_m: tuple[float, ...]  # global centre
    size_m: tuple[float, ...]  # width, length, height
    rotation_wxyz: tuple[float, ...]
    num_lidar_points: int


@dataclass(frozen=True)
class Keyframe:
    """One moment: the LiDAR's reading first, then the cameras'."""

    readings: tuple[Reading, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Recording:
    """One scene as recorded."""

    name: str
    description: str
    location: str
    logfile: str
    date: str
    rig: Rig
    image_size_px: tuple[int, int]  # rows, columns
    keyframes: tuple[Keyframe, ...]


def file_name(logfile: str, channel: str, time_us: int) -> str:
    """Return a reading's path below the data root."""
    extension = _FORMATS[channel.split("_", maxsplit=1)[0]][1]
    return f"samples/{channel}/{logfile}__{channel}__{time_us}.{extension}"


def lidarseg_name(seed: int, scene: str, keyframe: int) -> str:
    """Return the path of a scan's labels below the data root."""
    return f"lidarseg/{VERSION}/{reading_token(seed, scene, keyframe, 'LIDAR_TOP')}_lidarseg.bin"


def reading_token(seed: int, scene: str, keyframe: int, channel: str) -> str:
    """Return the token that the sample_data, ego_pose and lidarseg rows of a file share."""
    return token(seed, scene, "sample_data", keyframe, channel)


def map_name(seed: int, location: str) -> str:
    """Return the path of a location's map below the data root."""
    return f"maps/{token(seed, 'map', location)}.png"


def write_tables(root: Path, seed: int, recordings: Sequence[Recording]) -> None:
    """Write all tables of the recordings, in the order given, below root."""
    tables: dict[str, list[Row]] = {name: [] for name in _TABLES}
    _add_vocabulary(tables)
    for recording in recordings:
        _add_recording(tables, seed, recording)
    _add_maps(tables, seed, recordings)
    folder = root / VERSION
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))


def _add_vocabulary(tables: dict[str, list[Row]]) -> None:
    for index, name in enumerate(CATEGORY_NAMES):
        row = {"token": token("category", name), "name": name, "description": "", "index": index}
        tables["category"].append(row)
    for name, key, description in ATTRIBUTES:
        tables["attribute"].append({"token": key, "name": name, "description": description})
    for key, low, high in VISIBILITIES:
        text = f"visibility of whole object is between {low} and {high}%"
        tables["visibility"].append({"description": text, "token": key, "level": f"v{low}-{high}"})
    modalities = [*((name, "camera") for name in CAMERA_NAMES), ("LIDAR_TOP", "lidar")]
    for channel, modality in [*modalities, *((name, "radar") for name in RADAR_NAMES)]:
        row = {"token": token("sensor", channel), "channel": channel, "modality": modality}
        tables["sensor"].append(row)


def _add_recording(tables: dict[str, list[Row]], seed: int, recording: Recording) -> None:
    name, last = recording.name, len(recording.keyframes) - 1
    samples = [token(seed, name, "sample", number) for number in range(last + 1)]
    tables["log"].append(
        {
            "token": token(seed, "log", name),
            "logfile": recording.logfile,
            "vehicle": recording.rig.vehicle,
            "date_captured": recording.date,
            "location": recording.location,
        }
    )
    tables["scene"].append(
        {
            "token": token(seed, "scene", name),
            "log_token": token(seed, "log", name),
            "nbr_samples": last + 1,
            "first_sample_token": samples[0],
            "last_sample_token": samples[last],
            "name": name,
            "description": recording.description,
        }
    )
    for mount in (recording.rig.lidar, *recording.rig.cameras):
        tables["calibrated_sensor"].append(_calibration(seed, name, mount))
    for number, keyframe in enumerate(recording.keyframes):
        tables["sample"].append(
            {
                "token": samples[number],
                "timestamp": keyframe.readings[0].time_us,
                "prev": samples[number - 1] if number else "",
                "next": samples[number + 1] if number < last else "",
                "scene_token": token(seed, "scene", name),
            }
        )
        for reading in keyframe.readings:
            _add_reading(tables, seed, recording, number, reading)
    _add_boxes(tables, seed, recording, samples)


def _calibration(seed: int, scene: str, mount: Mount) -> Row:
    return {
        "token": token(seed, scene, "calibrated_sensor", mount.name),
        "sensor_token": token("sensor", mount.name),
        "translation": list(mount.translation_m),
        "rotation": list(mount.rotation_wxyz),
        "camera_intrinsic": [list(row) for row in mount.intrinsics_px],
    }


def _add_reading(
    tables: dict[str, list[Row]], seed: int, recording: Recording, number: int, reading: Reading
) -> None:
    name, channel, last = recording.name, reading.channel, len(recording.keyframes) - 1
    own = reading_token(seed, name, number, channel)
    rows, columns = recording.image_size_px if channel.startswith("CAM") else (0, 0)
    before = reading_token(seed, name, number - 1, channel) if number else ""
    after = reading_token(seed, name, number + 1, channel) if number < last else ""
    tables["ego_pose"].append(
        {
            "token": own,
            "timestamp": reading.time_us,
            "rotation": list(reading.rotation_wxyz),
            "translation": list(reading.translation_m),
        }
    )
    tables["sample_data"].append(
        {
            "token": own,
            "sample_token": token(seed, name, "sample", number),
            "ego_pose_token": own,
            "calibrated_sensor_token": token(seed, name, "calibrated_sensor", channel),
            "timestamp": reading.time_us,
            "fileformat": _FORMATS[channel.split("_")[0]][0],
            "is_key_frame": True,
            "height": rows,
            "width": columns,
            "filename": file_name(recording.logfile, channel, reading.time_us),
            "prev": before,
            "next": after,
        }
    )
    if channel == "LIDAR_TOP":
        labels = lidarseg_name(seed, name, number)
        tables["lidarseg"].append({"token": own, "sample_data_token": own, "filename": labels})


def _add_boxes(
    tables: dict[str, list[Row]], seed: int, recording: Recording, samples: Sequence[str]
) -> None:
    """Chain each object's boxes over the keyframes that have one."""
    attributes = {name: key for name, key, _ in ATTRIBUTES}
    seen: dict[int, list[tuple[int, Box]]] = {}
    for number, keyframe in enumerate(recording.keyframes):
        for box in keyframe.boxes:
            seen.setdefault(box.actor, []).append((number, box))
    for actor, history in sorted(seen.items()):
        instance = token(seed, recording.name, "instance", actor)
        chain = [token(instance, number) for number, _ in history]
        tables["instance"].append(
            {
                "token": instance,
                "category_token": token("category", history[0][1].category),
                "nbr_annotations": len(chain),
                "first_annotation_token": chain[0],
                "last_annotation_token": chain[-1],
            }
        )
        for i, (number, box) in enumerate(history):
            tables["sample_annotation"].append(
                {
                    "token": chain[i],
                    "sample_token": samples[number],
                    "instance_token": instance,
                    "visibility_token": box.visibility,
                    "attribute_tokens": [attributes[box.attribute]] if box.attribute else [],
                    "translation": list(box.translation_m),
                    "size": list(box.size_m),
                    "rotation": list(box.rotation_wxyz),
                    "prev": chain[i - 1] if i else "",
                    "next": chain[i + 1] if i + 1 < len(chain) else "",
                    "num_lidar_pts": box.num_lidar_points,
                    "num_radar_pts": 0,
                }
            )


def _add_maps(tables: dict[str, list[Row]], seed: int, recordings: Sequence[Recording]) -> None:
    for location in LOCATIONS:
        name = map_name(seed, location)
        logs = [token(seed, "log", r.name) for r in recordings if r.location == location]
        tables["map"].append(
            {
                "category": "semantic_prior",
                "token": Path(name).stem,
                "filename": name,
                "log_tokens": logs,
            }
        )
