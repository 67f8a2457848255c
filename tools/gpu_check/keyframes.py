"""The keyframes that the check reads: those that were given, or made ones of the same size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from benchmarks.keyframes import InTurns, KeyframeReader, write_labels
from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.images import EncodedImage
from olivine.data.records import Frame
from tools.gpu_check.report import Setup

ROWS_PX, COLUMNS_PX = 900, 1600
NUM_BEAMS, NUM_FIRINGS = 32, 1084  # nuScenes' LiDAR
SENSOR_M, WALLS_M, FAR_M = 1.84, 12.0, 95.0  # heights of sensor and walls, and its reach
YAWS = {"FRONT": 0, "FRONT_RIGHT": -55, "BACK_RIGHT": -110, "BACK": 180, "BACK_LEFT": 110}
YAWS["FRONT_LEFT"] = 55  # degrees, from ahead to the left
NUM_MADE = 2


def open_keyframes(setup: Setup) -> list[Frames]:
    """Return an opened data set for every given folder, or made ones if none was given."""
    if not setup.keyframes:
        num_firings = 72 if setup.is_small else NUM_FIRINGS
        seeds = range(1 if setup.is_small else NUM_MADE)
        made = [MadeFrames(setup.scratch, seed, num_firings) for seed in seeds]
        for frames in made:
            frames.write()
        return list(made)
    opened = []
    for number, root in enumerate(setup.keyframes):
        versions = sorted(folder.name for folder in root.glob("v1.0-*"))
        if not versions:
            raise UserError(f"--keyframe {root} holds no folder v1.0-*: give a nuScenes folder.")
        data = Nuscenes(version=versions[0], split="all")
        opened.append(data.open(root, setup.scratch / f"index{number}"))
    return opened


def labelled(setup: Setup) -> tuple[InTurns, int]:
    """Return a reader of the keyframes with random label maps, and the number of classes."""
    readers, num_classes = [], 0
    for number, frames in enumerate(open_keyframes(setup)):
        labels = write_labels(frames, setup.scratch / f"labels{number}")
        num_classes = len(labels.class_names)
        readers.append(KeyframeReader.with_labels(frames, labels))
    return InTurns(readers), num_classes


@dataclass(frozen=True)
class MadeFrames:
    """One keyframe of ground and walls below a folder, of nuScenes' sizes.

    The scan and the images do not show the same: for times only sizes and density matter.
    """

    folder: Path
    seed: int
    num_firings: int
    class_names: tuple[str, ...] = ()
    camera_names: tuple[str, ...] = field(default=tuple(YAWS))

    @property
    def root(self) -> str | Path:
        """The folder of the files."""
        return self.folder

    @property
    def fingerprint(self) -> str:
        """The seed tells made keyframes apart."""
        return f"made{self.seed}"

    def write(self) -> None:
        """Write the scan and the images."""
        np.save(self._scan_path, made_scan(self.seed, self.num_firings))
        for number, name in enumerate(self.image_names()):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(made_image(100 * self.seed + number))
            image.save(path, format="JPEG", quality=90)

    def __len__(self) -> int:
        return 1

    def tokens(self) -> Sequence[str]:
        """Return the frame's token."""
        return [self.fingerprint]

    def scenes(self) -> Sequence[str]:
        """Return the scene's name."""
        return ["made"]

    def image_names(self) -> Sequence[str]:
        """Return the images' paths below the folder."""
        return [f"{self.fingerprint}/{camera}.jpg" for camera in self.camera_names]

    def read_image(self, name: str) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return one image."""
        return self._picture(name).pixels()

    def later(self, index: int, num_keyframes: int) -> int:
        """Return the same frame."""
        return index

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Return the frame, from its files."""
        scan, names = np.load(self._scan_path), tuple(self.image_names())
        sizes = [[ROWS_PX, COLUMNS_PX]] * len(names)
        return Frame(
            token=self.fingerprint,
            scene="made",
            time_ns=0,
            xyz_m=np.ascontiguousarray(scan[:, :3]),
            intensity=np.ascontiguousarray(scan[:, 3]),
            images=tuple(self._picture(name) for name in names) if images else (),
            image_names=names,
            cam_SE3_lidar=np.stack([_camera(yaw) for yaw in YAWS.values()]),
            intrinsics_px=np.stack([_intrinsics(name) for name in YAWS]),
            image_size_px=np.array(sizes),
        )

    @property
    def _scan_path(self) -> Path:
        return self.folder / f"{self.fingerprint}.npy"

    def _picture(self, name: str) -> EncodedImage:
        path = self.folder / name
        return EncodedImage(path.read_bytes(), str(path), (ROWS_PX, COLUMNS_PX), "the check")


def made_scan(seed: int, num_firings: int = NUM_FIRINGS) -> np.ndarray:
    """Return float32 (N, 4): x, y, z in metres and intensity, of rays to ground and walls."""
    rng = np.random.default_rng(seed)
    azimuth = np.linspace(-np.pi, np.pi, num_firings, endpoint=False)
    # A wall's distance stays the same over a few degrees, then jumps: cars, trees and houses.
    pieces = np.sort(rng.choice(num_firings, num_firings // 14, replace=False))
    wall_m = np.exp(rng.uniform(np.log(4), np.log(70), len(pieces) + 1))
    wall_m = wall_m[np.searchsorted(pieces, np.arange(num_firings))]
    elevation = np.deg2rad(np.linspace(-30.67, 10.67, NUM_BEAMS))[:, None]
    slope_m = 0.3 * np.sin(3 * azimuth)  # the ground is not flat
    to_ground_m = (SENSOR_M + slope_m) / np.maximum(-np.sin(elevation), 1e-9)
    range_m = np.minimum(to_ground_m, wall_m / np.cos(elevation))
    range_m = range_m * rng.normal(1, 0.003, range_m.shape)
    z = range_m * np.sin(elevation)
    seen = (range_m < FAR_M) & (z < WALLS_M - SENSOR_M) & (rng.random(range_m.shape) > 0.05)
    flat_m = range_m * np.cos(elevation)
    x, y = flat_m * np.sin(azimuth), flat_m * np.cos(azimuth)
    intensity = rng.integers(0, 256, range_m.shape)
    return np.stack([x, y, z, intensity], axis=-1)[seen].astype(np.float32)


def made_image(seed: int) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return an image as hard to decode as a photograph: detail at every scale."""
    rng = np.random.default_rng(seed)
    total = np.zeros((ROWS_PX, COLUMNS_PX, 3), np.float32)
    for cells in (4, 16, 64, 256):
        coarse = rng.integers(0, 256, (cells, cells * 16 // 9, 3)).astype(np.uint8)
        wide = Image.fromarray(coarse).resize((COLUMNS_PX, ROWS_PX), Image.Resampling.BILINEAR)
        total += np.asarray(wide, np.float32) / cells**0.5
    return (total * (255 / total.max())).astype(np.uint8)


def _camera(yaw_degrees: float) -> np.ndarray:
    """Return cam_SE3_lidar of a camera beside the LiDAR; yaw 0 looks along +y."""
    yaw = np.deg2rad(yaw_degrees)
    forward = np.array([-np.sin(yaw), np.cos(yaw), 0])
    right = np.array([np.cos(yaw), np.sin(yaw), 0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, [0, 0, -1], forward])
    return pose


def _intrinsics(name: str) -> np.ndarray:
    focal_px = 809.0 if name == "BACK" else 1266.0
    return np.array([[focal_px, 0, COLUMNS_PX / 2], [0, focal_px, ROWS_PX / 2], [0, 0, 1]])
