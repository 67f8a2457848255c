"""Predictions as nuScenes-lidarseg's challenge and nuscenes-devkit read them.

    <folder>/lidarseg/<split>/<token of the LiDAR's sample_data>_lidarseg.bin    uint8, 1 to 16
    <folder>/<split>/submission.json                                             what was used

0 is the devkit's ignored class, so every id is one more than its position among ours.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES
from olivine.data.datasets.nuscenes.frames import NuscenesFrames
from olivine.data.predictions import NamedFrames, ids_of, require_known
from olivine.data.records import IGNORE

_USED = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")


class LidarsegPredictions:
    """The files of one split."""

    kind = "nuscenes"
    class_names: tuple[str, ...] = CLASS_NAMES

    def __init__(self, split: str = "val"):
        self._split = split

    def file_name(self, scan: str) -> str:
        """Return the name of a scan's file."""
        return f"{scan}_lidarseg.bin"

    def split_names(self, frames: NamedFrames) -> Sequence[str]:
        """Return `lidarseg/<split>/<token>_lidarseg.bin` of every keyframe."""
        if not isinstance(frames, NuscenesFrames):
            raise UserError(
                f"{frames.root} is no nuScenes data set, so its scans have no names in nuScenes' "
                "format: choose another one."
            )
        return [f"lidarseg/{self._split}/{self.file_name(one)}" for one in frames.scan_tokens()]

    def split_files(self, *, uses_images: bool) -> Mapping[str, bytes]:
        """Return the challenge's submission.json.

        A network that images have taught has used the camera, though it predicts from scans alone.
        """
        used = {"use_lidar": True, "use_camera": uses_images}
        meta = {name: used.get(name, False) for name in _USED}
        return {f"{self._split}/submission.json": json.dumps({"meta": meta}, indent=1).encode()}

    def to_bytes(self, class_ids: np.ndarray) -> bytes:
        """Return uint8 from 1 to 16."""
        require_known(class_ids, len(CLASS_NAMES))
        return (class_ids.astype(np.uint8) + np.uint8(1)).tobytes()

    def from_bytes(self, data: bytes, source: str) -> np.ndarray:
        """Return the class ids; the devkit's 0 is IGNORE."""
        lookup = {0: IGNORE, **{place + 1: place for place in range(len(CLASS_NAMES))}}
        return ids_of(lookup, np.frombuffer(data, np.uint8), source)
