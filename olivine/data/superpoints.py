"""Superpoints over time: the same object in a scan and in a later scan.

They are made when they are first needed and cached below the output folder, one small file per
keyframe, for later epochs, other workers and other runs:

<root>/clusters/<data set>-<clustering>/<frame's token>.npz

A file has a hash of the two scans and poses that it was made of, so those of a repaired scan are
made again.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from olivine.core.array_cache import ArrayCache, Arrays
from olivine.core.errors import UserError
from olivine.core.hashing import content_hash
from olivine.core.storage import Store
from olivine.data.clusterings.base import Clustering
from olivine.data.dataset import Frames
from olivine.data.geometry.rigid import inverse, transform
from olivine.data.records import Frame


@dataclass(frozen=True)
class Superpoints:
    """The superpoints of a data set; picklable, for loader processes."""

    frames: Frames
    clustering: Clustering
    store: Store

    @property
    def folder(self) -> str:
        """The folder of the cache below the store's root."""
        return f"clusters/{self.frames.fingerprint}-{self.clustering.identity}"

    def of(
        self, index: int, frame: Frame
    ) -> tuple[Int[np.ndarray, " N"], Frame, Int[np.ndarray, " L"]]:
        """Return the superpoints of a frame's points, the later frame, and its points' superpoints.

        An id of -1 is no superpoint. Raises UserError if the data set has no poses or no later
        frame.
        """
        later_index = self.frames.later(index, self.clustering.num_keyframes_ahead)
        later = self.frames.frame(later_index, images=False, classes=False)
        lengths = {"here": len(frame.xyz_m), "there": len(later.xyz_m)}
        cached = ArrayCache(self.store, self.folder).of(
            frame.token, lengths, lambda: self._make(frame, later), _content(frame, later)
        )
        return cached["here"].astype(np.int64), later, cached["there"].astype(np.int64)

    def _make(self, frame: Frame, later: Frame) -> Arrays:
        if frame.global_SE3_lidar is None or later.global_SE3_lidar is None:
            raise UserError(
                f"Frame {frame.token} has no pose, and superpoints over time need one: compare a "
                "scan with itself by --set pretrained.clusters.num_keyframes_ahead=0."
            )
        lidar_SE3_later = inverse(frame.global_SE3_lidar) @ later.global_SE3_lidar
        moved = transform(lidar_SE3_later, later.xyz_m).astype(np.float32)
        here, there = self.clustering([frame.xyz_m, moved])
        return {"here": here.astype(np.int32), "there": there.astype(np.int32)}


def _content(*frames: Frame) -> str:
    """Return a hash of the points and poses of some frames."""
    parts = [array for frame in frames for array in (frame.xyz_m, frame.global_SE3_lidar)]
    return content_hash(*(b"" if array is None else array.tobytes() for array in parts))
