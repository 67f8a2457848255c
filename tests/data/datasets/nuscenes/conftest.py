"""A nuScenes data set small enough to break by hand."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from olivine.data.datasets.nuscenes.classes import FINE_CLASSES
from olivine.data.datasets.nuscenes.tables import CAMERAS, LIDAR

ROWS, COLUMNS = 9, 16
NUM_POINTS = 64


class Tiny:
    """Tables as lists of rows, to be changed before `write`; files are written with them."""

    def __init__(self, root: Path, scene_names, num_samples=2, version="v1.0-mini", labels=True):
        self.root, self.version, self.labels = root, version, labels
        self.generator = np.random.default_rng(0)
        self.tables = _fixed_tables()
        for name in scene_names:
            self._add_scene(name, num_samples)
        rows = self.rows("sample_data", channel=LIDAR)
        if labels:
            self.tables["lidarseg"] = [
                {
                    "token": row["token"],
                    "sample_data_token": row["token"],
                    "filename": f"lidarseg/{version}/{row['token']}_lidarseg.bin",
                }
                for row in rows
            ]

    def write(self) -> Path:
        """Write tables and files; return the root."""
        self.write_tables()
        for row in self.tables["sample_data"]:
            path = self.path(row["filename"])
            path.write_bytes(self._image() if row["height"] else self._scan())
        for row in self.tables.get("lidarseg", []):
            labels = self.generator.integers(0, 32, NUM_POINTS, dtype=np.uint8)
            self.path(row["filename"]).write_bytes(labels.tobytes())
        for row in self.tables["map"]:
            with io.BytesIO() as stream:
                Image.new("L", (4, 4)).save(stream, "PNG")
                self.path(row["filename"]).write_bytes(stream.getvalue())
        return self.root

    def write_tables(self) -> None:
        """Write the tables alone."""
        for name, rows in self.tables.items():
            self.table_path(name).parent.mkdir(parents=True, exist_ok=True)
            self.table_path(name).write_text(json.dumps(rows, indent=0))

    def table_path(self, name: str) -> Path:
        return self.root / self.version / f"{name}.json"

    def path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def rows(self, table: str, channel: str = "") -> list[dict]:
        """Rows of a table, in the tables' order; of sample_data, those of one channel."""
        rows = self.tables[table]
        return [row for row in rows if not channel or f"/{channel}/" in row["filename"]]

    def _add_scene(self, name: str, num_samples: int) -> None:
        tables, number = self.tables, len(self.tables["scene"])
        samples = [f"sample-{number}-{k}" for k in range(num_samples)]
        links = ["", *samples, ""]
        for k, token in enumerate(samples):
            row = {"token": token, "timestamp": number * 10**8 + k * 500_000}
            row |= {"prev": links[k], "next": links[k + 2], "scene_token": f"scene-token-{number}"}
            tables["sample"].append(row)
        row = {"token": f"scene-token-{number}", "log_token": "log", "nbr_samples": num_samples}
        row |= {"first_sample_token": samples[0], "last_sample_token": samples[-1]}
        tables["scene"].append({**row, "name": name, "description": "braces }, { in a text"})
        for channel in (LIDAR, *CAMERAS):
            self._add_channel(number, channel, samples)

    def _add_channel(self, number: int, channel: str, samples: list[str]) -> None:
        camera = channel != LIDAR
        calibration = {"token": f"calibrated-{number}-{channel}", "sensor_token": channel}
        calibration |= {"translation": [1.0, 0.5, 1.5], "rotation": self._rotation()}
        pinhole = [[10.0, 0.0, 8.0], [0.0, 10.0, 4.5], [0.0, 0.0, 1.0]]
        calibration["camera_intrinsic"] = pinhole if camera else []
        self.tables["calibrated_sensor"].append(calibration)
        tokens = ["", *(f"{channel}-{number}-{k}" for k in range(len(samples))), ""]
        for k, sample in enumerate(samples):
            token = tokens[k + 1]
            pose = {"token": token, "timestamp": k, "rotation": self._rotation()}
            pose["translation"] = [1000.0 + number, 2000.0 + k, 0.0]
            self.tables["ego_pose"].append(pose)
            row = {"token": token, "sample_token": sample, "ego_pose_token": token}
            row |= {"calibrated_sensor_token": calibration["token"], "timestamp": k}
            row |= {"is_key_frame": True, "fileformat": "jpg" if camera else "pcd"}
            row |= {"height": ROWS * camera, "width": COLUMNS * camera}
            row |= {"prev": tokens[k], "next": tokens[k + 2]}
            row["filename"] = f"samples/{channel}/{token}.{'jpg' if camera else 'pcd.bin'}"
            self.tables["sample_data"].append(row)

    def _rotation(self) -> list[float]:
        return self.generator.normal(size=4).tolist()

    def _image(self) -> bytes:
        pixels = self.generator.integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)
        with io.BytesIO() as stream:
            Image.fromarray(pixels).save(stream, "JPEG")
            return stream.getvalue()

    def _scan(self) -> bytes:
        scan = self.generator.uniform(-20, 20, (NUM_POINTS, 5)).astype(np.float32)
        scan[:, 3] = self.generator.integers(0, 256, NUM_POINTS)
        return scan.tobytes()


def _fixed_tables() -> dict[str, list[dict]]:
    categories = [
        {"token": f"category-{index}", "name": name, "description": "", "index": index}
        for index, (name, _) in enumerate(FINE_CLASSES)
    ]
    sensors = [
        {"token": name, "channel": name, "modality": "lidar" if name == LIDAR else "camera"}
        for name in (LIDAR, *CAMERAS)
    ]
    tables = {"category": categories, "sensor": sensors}
    tables["log"] = [{"token": "log", "logfile": "", "vehicle": "", "location": ""}]
    tables["map"] = [{"token": "map", "filename": "maps/map.png", "log_tokens": ["log"]}]
    empty = ("attribute", "visibility", "instance", "sample_annotation", "calibrated_sensor")
    for name in (*empty, "ego_pose", "scene", "sample", "sample_data"):
        tables[name] = []
    return tables


@pytest.fixture
def tiny(tmp_path):
    """Return a maker of tiny data sets below a fresh folder."""

    def make(scene_names=("scene-0061", "scene-0103"), **changes) -> Tiny:
        return Tiny(tmp_path / "nuscenes", scene_names, **changes)

    return make


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"
