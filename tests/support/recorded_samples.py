"""Samples with all that a batch can hold, from frames that are drawn; each reading is noted."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olivine.core.errors import UserError
from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.images import DecodedImage
from olivine.data.records import IGNORE, Correspondences, Sample
from olivine.data.samples import Samples

ROWS_PX, COLUMNS_PX, NUM_POINTS, NUM_PAIRS = 60, 100, 400, 150
AUGMENTATIONS = (
    RotateFlip(),
    DropCuboid(min_pairs=1),
    CropImages(rows_px=30, columns_px=50, min_pairs=5),
)


@dataclass(frozen=True)
class RecordingReader:
    """Draws the sample of a frame, and writes into `notes` which one and by which process."""

    notes: Path
    broken: int = -1  # the frame that cannot be read
    read_s: float = 0.0

    def __call__(self, index: int) -> Sample:
        with self.notes.open("a") as file:
            file.write(f"{index} {os.getpid()}\n")
        time.sleep(self.read_s)
        if index == self.broken:
            raise UserError(f"Scan {index} is truncated.")
        return _drawn(index)

    def read_elsewhere(self) -> list[tuple[int, int]]:
        """The frames that other processes than this one read, and which, in order."""
        notes = [tuple(map(int, line.split())) for line in self.notes.read_text().splitlines()]
        return [(frame, process) for frame, process in notes if process != os.getpid()]


def _drawn(index: int) -> Sample:
    rng = np.random.default_rng(index)
    xyz_m = rng.uniform([-20, -30, -2], [20, 30, 3], (NUM_POINTS, 3)).astype(np.float32)
    images = rng.integers(0, 256, (2, ROWS_PX, COLUMNS_PX, 3), dtype=np.uint8)
    pixel_index = rng.integers(0, (2, ROWS_PX, COLUMNS_PX), (NUM_PAIRS, 3))
    return Sample(
        token=f"frame{index}",
        xyz_m=xyz_m,
        intensity=rng.integers(0, 256, NUM_POINTS).astype(np.float32),
        range_m=np.hypot(xyz_m[:, 0], xyz_m[:, 1]),
        images=tuple(map(DecodedImage, images)),
        pairs=Correspondences(np.sort(rng.permutation(NUM_POINTS)[:NUM_PAIRS]), pixel_index),
        pair_class=rng.choice([0, 1, 2, IGNORE], NUM_PAIRS).astype(np.uint8),
        class_ids=rng.integers(0, 16, NUM_POINTS).astype(np.uint8),
        segments=rng.integers(0, 200, (2, ROWS_PX, COLUMNS_PX)).astype(np.uint8),
        cluster_ids=rng.integers(-1, 5, NUM_POINTS),
    )


def recorded_samples(reader: RecordingReader, cache_bytes: int = 0) -> Samples:
    """Return augmented samples of the reader's, with a second view."""
    return Samples(reader, AUGMENTATIONS, seed=4, cache_bytes=cache_bytes, second_view=True)
