"""The records that pass from one stage to the next.

Shapes: N points of a scan, C cameras, M point-pixel pairs, V voxels, D channels. Integers that name
a class, a segment or a cluster are `IGNORE` where there is none. Records are frozen, and functions
return new ones. The LiDAR frame of nuScenes has x right, y forward, z up.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from olivine.data.images import CameraImage

IGNORE = 255  # the id of a pixel or point that has no class: uint8's last value


@dataclass(frozen=True)
class Frame:
    """One LiDAR scan and its camera images at one moment, as the data set has them."""

    token: str  # identifies the frame (nuScenes: the sample token)
    scene: str  # name of the frame's scene
    time_ns: int  # end of the scan; 0: not known
    xyz_m: Float[np.ndarray, "N 3"]  # points in the LiDAR frame
    intensity: Float[np.ndarray, " N"]  # as networks take it (nuScenes: 0..255)
    images: tuple[CameraImage, ...]  # one per camera; may be empty
    image_names: tuple[str, ...]  # path of each image below the data root, which identifies it
    cam_SE3_lidar: Float[np.ndarray, "C 4 4"]  # LiDAR at scan time to camera at its own time
    intrinsics_px: Float[np.ndarray, "C 3 3"]
    image_size_px: Int[np.ndarray, "C 2"]  # rows, columns of each camera by its calibration
    class_ids: UInt8[np.ndarray, " N"] | None = None  # true class of each point, or IGNORE
    global_SE3_lidar: Float[np.ndarray, "4 4"] | None = None  # at scan time; None: no poses


@dataclass(frozen=True)
class Correspondences:
    """Pairs of a point and a pixel that sees it; a point that two cameras see has two rows."""

    point_index: Int[np.ndarray, " M"]  # row of the scan
    pixel_index: Int[np.ndarray, "M 3"]  # camera, row, column

    def __len__(self) -> int:
        return len(self.point_index)

    def take(self, chosen: np.ndarray) -> "Correspondences":
        """Return the pairs that an index or a mask chooses."""
        return Correspondences(self.point_index[chosen], self.pixel_index[chosen])


@dataclass(frozen=True)
class Sample:
    """One frame ready for a network; an augmentation moves all of it in one `replace`."""

    token: str
    xyz_m: Float[np.ndarray, "N 3"]
    intensity: Float[np.ndarray, " N"]
    range_m: Float[np.ndarray, " N"]  # horizontal distance to the sensor, before augmentation
    images: tuple[CameraImage, ...]  # all of one size once they are in a batch
    pairs: Correspondences
    pair_class: UInt8[np.ndarray, " M"]  # weak class of each pair, or IGNORE
    class_ids: UInt8[np.ndarray, " N"] | None = None  # true class of each point, or IGNORE
    segments: UInt8[np.ndarray, "C rows columns"] | None = (
        None  # superpixel in its image, or IGNORE
    )
    scan_index: Int[np.ndarray, " N"] | None = None  # row of each point in the scan as read
    cluster_ids: Int[np.ndarray, " N"] | None = None  # superpoint over time; -1: none
    images_hash: str = ""  # of the images as they were read; empty: not known
    # The scan to compare with, without images: a second augmentation of this one, or a later one.
    view: "Sample | None" = None

    def with_pairs(self, chosen: np.ndarray, **changes: Any) -> "Sample":
        """Return the sample with the pairs that an index or a mask chooses, and further changes."""
        pairs, pair_class = self.pairs.take(chosen), self.pair_class[chosen]
        return replace(self, **{"pairs": pairs, "pair_class": pair_class, **changes})
