"""Streets of boxes, written for `town.Town`: `python -m olivine_example.make_town FOLDER`.

Each scene is a street of houses, cars and posts; a frame is a scan and the images of two cameras,
one metre farther than the frame before. Points are sampled on the surfaces, without occlusion.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("ground", "house", "car", "post")
COLOURS = ((105, 105, 110), (190, 80, 60), (50, 80, 200), (60, 160, 70))
CAMERAS = ("FRONT", "BACK")
ROWS_PX, COLUMNS_PX = 72, 128
SENSOR_M = 1.8  # above the ground
RANGE_M = 30.0
NUM_GROUND, NUM_ON_BOX = 700, 60
NEAREST_M = 0.5  # that a camera sees

# From the LiDAR (x right, y forward, z up) to a camera (x right, y down, z forward).
FORWARD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
CAM_SE3_LIDAR = np.stack([FORWARD, FORWARD @ np.diag([-1.0, -1, 1, 1])])
INTRINSICS_PX = np.array([[64.0, 0, COLUMNS_PX / 2], [0, 64, ROWS_PX / 2], [0, 0, 1]])
# The corners of a unit box, and its sides and lid as rows of corners.
CORNERS = np.array([[x, y, z] for z in (0, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))])
FACES = ((0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7))


@dataclass(frozen=True)
class Box:
    """An object of a class: its lower corner and its size in the street, in metres."""

    class_id: int
    start_m: np.ndarray
    size_m: np.ndarray


def write_town(root: Path, num_scenes: int = 4, num_frames: int = 4, seed: int = 0) -> Path:
    """Write scenes town0, town1 and so on; return the root."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (root / "cameras.txt").write_text("\n".join(CAMERAS) + "\n")
    for scene in range(num_scenes):
        rng = np.random.default_rng([seed, scene])
        boxes = _street(rng)
        folder = root / f"town{scene}"
        folder.mkdir(exist_ok=True)
        for frame in range(num_frames):
            moved = [Box(b.class_id, b.start_m - (0, frame, 0), b.size_m) for b in boxes]
            np.savez_compressed(folder / f"{frame:03d}.npz", **_frame(moved, rng))
    return root


def _street(rng: np.random.Generator) -> list[Box]:
    boxes = []
    for y in np.arange(-28.0, 28.0, 7.0):
        for side in (-1, 1):
            x = side * rng.uniform(7, 9) - (6 if side < 0 else 0)
            house = Box(1, np.array([x, y, -SENSOR_M]), rng.uniform([5, 4, 3], [6, 6, 7]))
            post = Box(3, np.array([side * 5.0, y + 2, -SENSOR_M]), np.array([0.3, 0.3, 3.0]))
            boxes += [house, post]
            if rng.random() < 0.6:
                start = np.array([side * 3.0 - 1, y + rng.uniform(0, 2), -SENSOR_M])
                boxes.append(Box(2, start, np.array([1.8, 4.0, 1.5])))
    return boxes


def _frame(boxes: list[Box], rng: np.random.Generator) -> dict[str, np.ndarray]:
    ground = rng.uniform([-8, -RANGE_M, -SENSOR_M], [8, RANGE_M, -SENSOR_M], (NUM_GROUND, 3))
    points, ids = [ground], [np.zeros(NUM_GROUND, np.uint8)]
    for box in boxes:
        inside = rng.random((NUM_ON_BOX, 3))
        axis = rng.integers(0, 2, NUM_ON_BOX)  # of a side
        inside[np.arange(NUM_ON_BOX), axis] = rng.integers(0, 2, NUM_ON_BOX)
        points.append(box.start_m + inside * box.size_m)
        ids.append(np.full(NUM_ON_BOX, box.class_id, np.uint8))
    xyz_m = np.concatenate(points) + rng.normal(0, 0.02, (sum(map(len, points)), 3))
    class_ids = np.concatenate(ids)
    near = np.hypot(xyz_m[:, 0], xyz_m[:, 1]) < RANGE_M
    brightness = np.array([20.0, 120.0, 200.0, 80.0])[class_ids]
    return {
        "xyz_m": xyz_m[near].astype(np.float32),
        "intensity": rng.normal(brightness, 10).clip(0, 255)[near].astype(np.float32),
        "class_ids": class_ids[near],
        "images": np.stack([_image(boxes, pose, rng) for pose in CAM_SE3_LIDAR]),
        "cam_SE3_lidar": CAM_SE3_LIDAR,
        "intrinsics_px": np.stack([INTRINSICS_PX] * len(CAMERAS)),
    }


def _image(boxes: list[Box], pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a camera's image: sky, ground, and the faces of the boxes from far to near."""
    image = Image.new("RGB", (COLUMNS_PX, ROWS_PX), (150, 190, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, ROWS_PX // 2, COLUMNS_PX, ROWS_PX), fill=COLOURS[0])
    faces = []
    for box in boxes:
        corners_m = box.start_m + CORNERS * box.size_m
        seen_m = corners_m @ pose[:3, :3].T + pose[:3, 3]
        for face in FACES:
            corners = seen_m[list(face)]
            if corners[:, 2].min() > NEAREST_M:
                pixels = corners @ INTRINSICS_PX.T
                faces.append((corners[:, 2].mean(), box.class_id, pixels[:, :2] / pixels[:, 2:]))
    for _, class_id, pixels in sorted(faces, key=lambda face: -face[0]):
        shade = rng.uniform(0.8, 1.1)
        colour = tuple(int(min(255, level * shade)) for level in COLOURS[class_id])
        draw.polygon([tuple(pixel) for pixel in pixels], fill=colour)
    noisy = np.asarray(image) + rng.normal(0, 5, (ROWS_PX, COLUMNS_PX, 3))
    return noisy.clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    print(f"Wrote {write_town(Path(sys.argv[1]))}")
