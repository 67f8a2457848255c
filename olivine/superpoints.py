"""Superpoints over time: what a scan and a later one show of the same thing.

They are made when they are first asked for and kept below the output folder, one small file per
keyframe, so that a second epoch, another worker or another run reads them:

<root>/clusters/<data set>-<clustering>/<frame's token>.npz
"""

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from olivine.errors import UserError
from olivine.geometry.rigid import inverse, transform
from olivine.parts import Clustering, Frames
from olivine.storage import Store
from olivine.types import Frame


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
        name = f"{self.folder}/{frame.token}.npz"
        kept = self._read(name) if self.store.exists(name) else None
        if kept is None or (len(kept[0]), len(kept[1])) != (len(frame.xyz_m), len(later.xyz_m)):
            kept = self._make(frame, later)
            self.store.write(name, _packed(*kept))
        return kept[0], later, kept[1]

    def _make(self, frame: Frame, later: Frame) -> tuple[np.ndarray, np.ndarray]:
        if frame.global_SE3_lidar is None or later.global_SE3_lidar is None:
            raise UserError(
                f"Frame {frame.token} has no pose, and superpoints over time need one: compare a "
                "scan with itself by --set pretrained.clusters.num_keyframes_ahead=0."
            )
        lidar_SE3_later = inverse(frame.global_SE3_lidar) @ later.global_SE3_lidar
        moved = transform(lidar_SE3_later, later.xyz_m).astype(np.float32)
        here, there = self.clustering([frame.xyz_m, moved])
        return here, there

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what was kept, or None if it is damaged, so that it is made again."""
        try:
            with np.load(io.BytesIO(self.store.read(name))) as kept:
                return kept["here"].astype(np.int64), kept["there"].astype(np.int64)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def _packed(here: np.ndarray, there: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, here=here.astype(np.int32), there=there.astype(np.int32))
    return stream.getvalue()
