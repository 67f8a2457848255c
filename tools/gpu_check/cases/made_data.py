"""Scans, images and batches for the check: made by rule from a seed, or of real keyframes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.batch import Batch, Voxels
from olivine.data.collate import Collate
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.images import DecodedImage
from olivine.data.records import IGNORE, Frame, Sample
from olivine.data.samples import make_sample
from tools.gpu_check.keyframes import open_keyframes
from tools.gpu_check.report import Setup

NUM_CLASSES = 6
NUM_BEAMS, SENSOR_HEIGHT_M, LONGEST_M = 32, 1.8, 70.0
ROWS_PX, COLUMNS_PX = 300, 533  # a third of nuScenes' images
CUBES = Voxelizer(
    coordinates="cartesian", size=(0.1, 0.1, 0.2), range_m=(-48.0, -48.0, -4.8, 48.0, 48.0, 2.8)
)
# From the LiDAR (x right, y forward, z up) to a camera that looks along +y.
FORWARD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def scan(num_azimuths: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (N, 3), intensities (N) and classes (N) of a LiDAR in a street of boxes.

    Beams between -30° and 10° meet the ground, or a wall whose distance changes with the azimuth.
    """
    rng = np.random.default_rng(seed)
    elevation = np.radians(np.linspace(-30, 10, NUM_BEAMS))[:, None]
    azimuth = np.linspace(-np.pi, np.pi, num_azimuths, endpoint=False)[None, :]
    sector = ((azimuth + np.pi) * 12 / np.pi).astype(int)
    walls_m = rng.uniform(4, LONGEST_M, sector.max() + 1)[sector] / np.abs(
        np.cos(azimuth * 3)
    ).clip(0.6)
    with np.errstate(divide="ignore"):
        ground_m = np.where(elevation < 0, SENSOR_HEIGHT_M / -np.sin(elevation), np.inf)
    range_m = np.minimum(ground_m, walls_m / np.cos(elevation))
    range_m = range_m + rng.normal(0, 0.02, range_m.shape)  # so that no two neighbours are as far
    direction = np.stack(
        np.broadcast_arrays(
            np.cos(elevation) * np.sin(azimuth),
            np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
        ),
        axis=-1,
    )
    xyz_m = (range_m[..., None] * direction)[range_m < LONGEST_M].astype(np.float32)
    of_wall = 1 + sector % (NUM_CLASSES - 1)
    class_ids = np.where(ground_m <= walls_m / np.cos(elevation), 0, of_wall)[range_m < LONGEST_M]
    intensity = rng.uniform(0, 255, len(xyz_m)).astype(np.float32)
    return xyz_m, intensity, class_ids.astype(np.uint8)


def num_azimuths(setup: Setup) -> int:
    """Return the columns of a scan: a nuScenes scan's, or few."""
    return 40 if setup.is_small else 1080


def voxels_of(setup: Setup, voxelizer: Voxelizer, num_scans: int = 2) -> Voxels:
    """Return the voxels of some made scans, in one batch."""
    scans = [scan(num_azimuths(setup), seed) for seed in range(num_scans)]
    return voxelize(voxelizer, [s[0] for s in scans], [s[1] for s in scans])


def made_frame(setup: Setup, seed: int) -> Frame:
    """Return a frame of a made scan and two cameras, which look forward and backward."""
    xyz_m, intensity, class_ids = scan(num_azimuths(setup), seed)
    rng = np.random.default_rng(1000 + seed)
    blocks = rng.integers(0, 256, (2, 10, 16, 3)).repeat(30, axis=1).repeat(34, axis=2)
    pixels = blocks[:, :ROWS_PX, :COLUMNS_PX] + rng.normal(0, 8, (2, ROWS_PX, COLUMNS_PX, 3))
    images = tuple(DecodedImage(image) for image in pixels.clip(0, 255).astype(np.uint8))
    intrinsics_px = np.array([[420.0, 0, COLUMNS_PX / 2], [0, 420, ROWS_PX / 2], [0, 0, 1]])
    return Frame(
        token=f"made{seed}",
        scene=f"scene{seed}",
        time_ns=0,
        xyz_m=xyz_m,
        intensity=intensity,
        images=images,
        image_names=tuple(f"{seed}/{camera}.jpg" for camera in range(2)),
        cam_SE3_lidar=np.stack([FORWARD, FORWARD @ np.diag([-1.0, -1, 1, 1])]),
        intrinsics_px=np.stack([intrinsics_px] * 2),
        image_size_px=np.array([[ROWS_PX, COLUMNS_PX]] * 2),
        class_ids=class_ids,
    )


def frames_of(setup: Setup, number: int) -> list[Frame]:
    """Return the first keyframe of every given folder in turn, or made frames."""
    real = [frames.frame(0) for frames in open_keyframes(setup)] if setup.keyframes else []
    return [real[i % len(real)] if real else made_frame(setup, i) for i in range(number)]


def samples_of(setup: Setup, frames: Sequence[Frame], round_: int = 0) -> list[Sample]:
    """Return augmented samples, with weak classes by rule and segments by blocks.

    `round_` is another draw of the augmentations.
    """
    crop = CropImages(
        rows_px=64 if setup.is_small else 224,
        columns_px=96 if setup.is_small else 416,
        min_pairs=16,
    )
    made = []
    for number, frame in enumerate(frames):
        rng = np.random.default_rng([7, round_, number])
        sample = make_sample(frame, None, [str(i) for i in range(len(frame.images))], "drop")
        sample = replace(sample, pair_class=_weak_classes(frame, sample), segments=_blocks(frame))
        sample = replace(
            sample, class_ids=_true_classes(frame), scan_index=np.arange(len(frame.xyz_m))
        )
        made.append(crop(RotateFlip()(sample, rng), rng))
    return made


def _true_classes(frame: Frame) -> np.ndarray:
    """Return classes by height and distance where the frame has none."""
    if frame.class_ids is not None:
        return np.where(frame.class_ids < NUM_CLASSES, frame.class_ids, IGNORE).astype(np.uint8)
    x, y, z = frame.xyz_m.T
    return np.where(z < -1.5, 0, 1 + (np.hypot(x, y) / 8).astype(int) % (NUM_CLASSES - 1)).astype(
        np.uint8
    )


def _weak_classes(frame: Frame, sample: Sample) -> np.ndarray:
    """Return the class of each pair's point; one in seven has none."""
    weak = _true_classes(frame)[sample.pairs.point_index]
    weak[::7] = IGNORE
    return weak


def _blocks(frame: Frame) -> np.ndarray:
    """Return images of segments: 8 x 12 blocks, of which the first is none."""
    rows, columns = frame.images[0].size_px
    block = np.arange(rows)[:, None] * 8 // rows * 12 + np.arange(columns) * 12 // columns
    block = np.where(block == 0, IGNORE, block).astype(np.uint8)
    return np.stack([block] * len(frame.images))


def batch_of(setup: Setup, voxelizer: Voxelizer, num_frames: int = 2, round_: int = 0) -> Batch:
    """Return the batch of some frames, as a pretraining's loader makes it."""
    return Collate(voxelizer)(samples_of(setup, frames_of(setup, num_frames), round_))
