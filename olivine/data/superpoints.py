"""Superpoints over time: what a scan and a later one show of the same thing.

They are made when they are first asked for and kept below the output folder, one small file per
keyframe, so that a second epoch, another worker or another run reads them:

<root>/clusters/<data set>-<clustering>/<frame's token>.npz
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from olivine.core.array_cache import ArrayCache, Arrays
from olivine.core.errors import UserError
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
        """Where they lie below the store's root."""
        return f"clusters/{self.frames.fingerprint}-{self.clustering.identity}"

    def of(
        self, index: int, frame: Frame
    ) -> tuple[Int[np.ndarray, " N"], Frame, Int[np.ndarray, " L"]]:
        """Return the superpoint of each point of a frame, its later frame, and that one's.

        -1 is no superpoint. Raises UserError if the data set has no poses or no later frame.
        """
        later_index = self.frames.later(index, self.clustering.num_keyframes_ahead)
        later = self.frames.frame(later_index, images=False, classes=False)
        lengths = {"here": len(frame.xyz_m), "there": len(later.xyz_m)}
        kept = ArrayCache(self.store, self.folder).of(
            frame.token, lengths, lambda: self._make(frame, later)
        )
        return kept["here"].astype(np.int64), later, kept["there"].astype(np.int64)

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
