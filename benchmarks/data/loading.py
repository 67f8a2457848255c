"""How many frames per second does one loader process make beside a straightforward one?

    python benchmarks/data/loading.py [--data ../shared/data] [--rounds 5] [--profile]

A frame is a scan, six JPEGs of 1600 x 900 and a label map for each: read, paired, augmented as in
OLIVINE's pretraining and made voxels. The straightforward loader does what the published ones do:
it decodes every image in full to float64, projects a copy of the cloud for each camera, crops and
resizes float images, draws again in a Python loop and groups voxels by rows. Both read the same
real keyframes, with random label maps of blocks, whose classes ours keeps after the
first epoch. One thread, processor time, best round.
"""

import argparse
import copy
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.keyframes import AUGMENTATIONS, KeyframeReader, open_keyframes, write_labels
from benchmarks.measuring import best_of
from olivine.data.collate import Collate
from olivine.data.dataset import Frames
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import Frame
from olivine.data.samples import Samples
from olivine.labels.store import LabelStore, label_name

ROWS_PX, COLUMNS_PX = 224, 416
NUM_FRAMES = 8  # of a round


class Straightforward:
    """A loader as one writes it first."""

    def __init__(self, root: Path, frames: Frames, labels: LabelStore):
        self.root, self.frames, self.labels = root, frames, labels
        self.generator = np.random.default_rng(0)

    def __call__(self, index: int) -> tuple[torch.Tensor, ...]:
        """Return images, cells, their features, pairs and classes of one frame."""
        frame = self.frames.frame(index, images=False, classes=False)
        images, point, pixel, classes = [], [], [], []
        for camera, name in enumerate(frame.image_names):
            image = np.array(Image.open(self.root / name)) / 255.0
            images.append(torch.tensor(image, dtype=torch.float32).permute(2, 0, 1))
            rows, columns, seen = self.project(frame, camera)
            labels = np.array(Image.open(Path(self.labels.path, label_name(name))))
            point.append(seen)
            pixel.append(np.stack([np.full(len(seen), camera), rows, columns], axis=1))
            classes.append(labels[rows, columns])
        xyz, intensity = frame.xyz_m.astype(np.float64), frame.intensity
        return self.augment(
            images, xyz, intensity, np.concatenate(point), np.concatenate(pixel), classes
        )

    def project(self, frame: Frame, camera: int) -> tuple[np.ndarray, ...]:
        """Return rows, columns and points seen by one camera."""
        points = copy.deepcopy(frame.xyz_m.astype(np.float64)).T
        cam_SE3_lidar = frame.cam_SE3_lidar[camera]
        points = cam_SE3_lidar[:3, :3] @ points + cam_SE3_lidar[:3, 3:]
        depth_m = points[2]
        uv = frame.intrinsics_px[camera] @ points
        uv = uv[:2] / np.repeat(depth_m[None], 2, axis=0)
        mask = np.ones(len(depth_m), dtype=bool)
        mask = np.logical_and(mask, depth_m > 1)
        mask = np.logical_and(mask, uv[0] > 0)
        mask = np.logical_and(mask, uv[0] < 1599)
        mask = np.logical_and(mask, uv[1] > 0)
        mask = np.logical_and(mask, uv[1] < 899)
        seen = np.where(mask)[0]
        pixel = np.round(np.flip(uv.T[seen], axis=1)).astype(np.int64)
        return pixel[:, 0], pixel[:, 1], seen

    def augment(  # noqa: PLR0917  # one long list of steps
        self,
        images: list[torch.Tensor],
        xyz: np.ndarray,
        intensity: np.ndarray,
        point: np.ndarray,
        pixel: np.ndarray,
        classes: list[np.ndarray],
    ) -> tuple[torch.Tensor, ...]:
        """Rotate, mirror, drop a box, crop and mirror the images, make voxels."""
        rng = self.generator
        angle = rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        xyz = xyz @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        xyz = xyz * np.array([rng.choice([-1, 1]), rng.choice([-1, 1]), 1])
        label = np.concatenate(classes)
        half = np.ptp(xyz, axis=0) * rng.uniform(0, 0.2) / 2
        inside = (np.abs(xyz - xyz[rng.integers(len(xyz))]) < half).all(axis=1)
        kept = ~inside[point]
        if min(np.sum(pixel[kept, 0] == camera) for camera in range(len(images))) >= 1024:
            new = np.cumsum(~inside) - 1
            xyz, intensity = xyz[~inside], intensity[~inside]
            point, pixel, label = new[point[kept]], pixel[kept], label[kept]
        small, points, pixels, labels = [], [], [], []
        for camera, image in enumerate(images):
            of_camera = pixel[:, 0] == camera
            own = pixel[of_camera]
            top, left, rows, columns, holds = self.crop(own)
            cut = image[:, top : top + rows, left : left + columns][None]
            cut = F.interpolate(cut, (ROWS_PX, COLUMNS_PX), mode="bilinear", align_corners=False)
            scaled = own[holds].astype(np.float64)
            scaled[:, 1] = np.floor((scaled[:, 1] - top) * ROWS_PX / rows)
            scaled[:, 2] = np.floor((scaled[:, 2] - left) * COLUMNS_PX / columns)
            if rng.random() < 0.5:
                cut = torch.flip(cut, dims=[3])
                scaled[:, 2] = COLUMNS_PX - 1 - scaled[:, 2]
            small.append(cut[0])
            points.append(point[of_camera][holds])
            pixels.append(scaled.astype(np.int64))
            labels.append(label[of_camera][holds])
        cells, features, inverse = self.voxels(xyz, intensity)
        return (
            torch.stack(small),
            torch.from_numpy(cells),
            torch.from_numpy(features),
            torch.from_numpy(inverse[np.concatenate(points)]),
            torch.from_numpy(np.concatenate(pixels)),
            torch.from_numpy(np.concatenate(labels)).long(),
        )

    def crop(self, pixels: np.ndarray) -> tuple[int, int, int, int, np.ndarray]:
        """Draw boxes until one holds enough pairs."""
        rng = self.generator
        while True:
            area, ratio = 1600 * 900 * rng.uniform(0.3, 1), rng.uniform(14 / 9, 17 / 9)
            columns, rows = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if columns > 1600 or rows > 900:
                continue
            top, left = rng.integers(900 - rows + 1), rng.integers(1600 - columns + 1)
            holds = np.logical_and(pixels[:, 1] >= top, pixels[:, 1] < top + rows)
            holds = np.logical_and(holds, pixels[:, 2] >= left)
            holds = np.logical_and(holds, pixels[:, 2] < left + columns)
            if holds.sum() > 1024 or holds.sum() > 0.75 * len(pixels):
                return int(top), int(left), rows, columns, holds

    def voxels(
        self, xyz: np.ndarray, intensity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return cylindrical cells, the intensity of one point each, and each point's cell."""
        rho = np.sqrt(xyz[:, 0] ** 2 + xyz[:, 1] ** 2) / 0.1
        phi = np.arctan2(xyz[:, 1], xyz[:, 0]) * 180 / np.pi
        scaled = np.floor(np.stack([rho, phi, xyz[:, 2] / 0.1], axis=1)).astype(np.int64)
        cells, first, inverse = np.unique(scaled, axis=0, return_index=True, return_inverse=True)
        return cells, intensity[first, None], inverse.reshape(-1)


def ours(frames: Frames, labels: LabelStore) -> Callable[[int], object]:
    """Return our loader's way to a batch of one frame."""
    samples = Samples(KeyframeReader.with_labels(frames, labels), AUGMENTATIONS, seed=0)
    collate, epochs = Collate(Voxelizer()), iter(range(10**6))
    return lambda index: collate([samples[next(epochs), index]])


def take(load: Callable[[int], object]) -> None:
    """Load the frame as often as a round does."""
    for _ in range(NUM_FRAMES):
        load(0)


def main() -> None:
    """Print a line per keyframe, and where our time goes if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        for root, frames in open_keyframes(given.data, Path(scratch)):
            labels = write_labels(frames, Path(scratch, root.name, "out"))
            quick = partial(take, ours(frames, labels))
            plain = partial(take, Straightforward(root, frames, labels))
            quick_s, plain_s = (
                best_of(given.rounds, call, time.process_time) / NUM_FRAMES
                for call in (quick, plain)
            )
            print(
                f"{root.name}: ours {1 / quick_s:.1f} frames/s, straightforward "
                f"{1 / plain_s:.1f}: {plain_s / quick_s:.1f} times as many"
            )
            if given.profile:
                with cProfile.Profile() as profile:
                    quick()
                pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
