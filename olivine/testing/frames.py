"""Frames of a small street, made in memory, for checks that need frames or images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from olivine.core.errors import UserError
from olivine.data.images import DecodedImage
from olivine.data.records import Correspondences, Frame, Sample

ROWS_PX, COLUMNS_PX, NUM_CAMERAS = 48, 80, 2
CLASS_NAMES = ("ground", "box", "wall")
NUM_SCENES, FRAMES_PER_SCENE = 2, 3
# From the LiDAR (x right, y forward, z up) to a camera that looks along +y, and one along -y.
FORWARD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
BACKWARD = FORWARD @ np.diag([-1.0, -1, 1, 1])
INTRINSICS_PX = np.array([[40.0, 0, COLUMNS_PX / 2], [0, 40, ROWS_PX / 2], [0, 0, 1]])


def street_scan(num: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points (num, 3) in metres of ground, boxes and a wall, and the class of each."""
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(0, len(CLASS_NAMES), num).astype(np.uint8)
    xyz_m = rng.uniform([-8, -8, -1.8], [8, 8, -1.7], (num, 3))
    box = class_ids == 1
    centres_m = np.array([[4.0, 5.0], [-5.0, 4.0], [3.0, -6.0]])[rng.integers(0, 3, num)]
    xyz_m[box, :2] = centres_m[box] + rng.uniform(-0.8, 0.8, (num, 2))[box]
    xyz_m[box, 2] = rng.uniform(-1.4, 0.2, num)[box]
    wall = class_ids == 2
    xyz_m[wall, 0], xyz_m[wall, 2] = -8.0, rng.uniform(-1.5, 2, num)[wall]
    return xyz_m.astype(np.float32), class_ids


def images(num: int = NUM_CAMERAS, seed: int = 0) -> UInt8[np.ndarray, "num rows columns 3"]:
    """Return images of a sky, a road and some blocks, with noise."""
    rng = np.random.default_rng(seed)
    made = np.zeros((num, ROWS_PX, COLUMNS_PX, 3))
    made[:, : ROWS_PX // 2], made[:, ROWS_PX // 2 :] = (120, 170, 230), (90, 90, 95)
    for image in made:
        for _ in range(4):
            top, left = rng.integers(0, (ROWS_PX - 12, COLUMNS_PX - 20))
            image[top : top + 12, left : left + 20] = rng.integers(0, 256, 3)
    return np.clip(made + rng.normal(0, 6, made.shape), 0, 255).astype(np.uint8)


@dataclass
class InMemoryFrames:
    """Frames of two scenes, as an opened data set gives them."""

    class_names: tuple[str, ...] = CLASS_NAMES
    camera_names: tuple[str, ...] = ("FRONT", "BACK")
    fingerprint: str = "5712ee7"

    @property
    def root(self) -> str | Path:
        """A name instead of a folder: the frames are in memory."""
        return "memory"

    def __len__(self) -> int:
        return NUM_SCENES * FRAMES_PER_SCENE

    def tokens(self) -> Sequence[str]:
        """Return the identity of every frame."""
        return [f"frame{index}" for index in range(len(self))]

    def scenes(self) -> Sequence[str]:
        """Return the scene of every frame."""
        return [f"scene{index // FRAMES_PER_SCENE}" for index in range(len(self))]

    def image_names(self) -> Sequence[str]:
        """Return every image's name, frame by frame."""
        return [
            f"images/{camera}/{index}.jpg"
            for index in range(len(self))
            for camera in self.camera_names
        ]

    def read_image(self, name: str) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return one image; raise UserError for an unknown name."""
        names = list(self.image_names())
        if name not in names:
            raise UserError(f"There is no image {name}.")
        index, camera = divmod(names.index(name), len(self.camera_names))
        return images(seed=index)[camera]

    def later(self, index: int, num_keyframes: int) -> int:
        """Return the frame of the same scene `num_keyframes` ahead, or else as many behind."""
        first = index - index % FRAMES_PER_SCENE
        ahead = index + num_keyframes
        return ahead if ahead < first + FRAMES_PER_SCENE else index - num_keyframes

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Return one frame."""
        xyz_m, class_ids = street_scan(seed=index)
        names = tuple(self.image_names()[index * NUM_CAMERAS : (index + 1) * NUM_CAMERAS])
        shown = tuple(DecodedImage(self.read_image(name)) for name in names) if images else ()
        return Frame(
            token=self.tokens()[index],
            scene=self.scenes()[index],
            time_ns=index * 500_000_000,
            xyz_m=xyz_m,
            intensity=np.random.default_rng(index).uniform(0, 255, len(xyz_m)).astype(np.float32),
            images=shown,
            image_names=names,
            cam_SE3_lidar=np.stack([FORWARD, BACKWARD]),
            intrinsics_px=np.stack([INTRINSICS_PX] * NUM_CAMERAS),
            image_size_px=np.array([[ROWS_PX, COLUMNS_PX]] * NUM_CAMERAS),
            class_ids=class_ids if classes else None,
            global_SE3_lidar=_moved(index % FRAMES_PER_SCENE),
        )


def _moved(distance_m: float) -> Float[np.ndarray, "4 4"]:
    pose = np.eye(4)
    pose[1, 3] = distance_m
    return pose


def marked_sample(num: int = 900, seed: int = 0) -> Sample:
    """Return a sample in which every point and pixel can be recognised after it was moved.

    A point's intensity is its number; a pixel's red and green are its row and column (times 4 and
    2), its segment the quarter of its image that it lies in.
    """
    rng = np.random.default_rng(seed)
    xyz_m = rng.normal(0, 10, (num, 3)).astype(np.float32)
    row, column = np.mgrid[:ROWS_PX, :COLUMNS_PX]
    image = np.stack([4 * row, 2 * column, np.full_like(row, 7)], axis=2).astype(np.uint8)
    blocks = (row // (ROWS_PX // 2) * 2 + column // (COLUMNS_PX // 2)).astype(np.uint8)
    sizes = (NUM_CAMERAS, ROWS_PX, COLUMNS_PX)
    pixel = np.stack([rng.integers(0, size, num) for size in sizes], axis=1)
    return Sample(
        token="marked",
        xyz_m=xyz_m,
        intensity=np.arange(num, dtype=np.float32),
        range_m=np.hypot(xyz_m[:, 0], xyz_m[:, 1]),
        images=(DecodedImage(image),) * NUM_CAMERAS,
        pairs=Correspondences(rng.permutation(num), pixel),
        pair_class=rng.integers(0, 5, num).astype(np.uint8),
        class_ids=(np.arange(num) % 7).astype(np.uint8),
        segments=np.stack([blocks] * NUM_CAMERAS),
        scan_index=np.arange(num),
        cluster_ids=np.arange(num) // 10,
    )
