"""The scans of a split, read from their files when they are needed."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8, UInt32

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.semantic_kitti.classes import CLASS_NAMES, UNKNOWN, class_lookup
from olivine.data.datasets.semantic_kitti.layout import (
    LABEL_BYTES,
    POINT_BYTES,
    label_name,
    scan_name,
)
from olivine.data.identity.split import SplitFiles, SplitIdentity
from olivine.data.records import Frame

SCANS_PER_SCENE = 200  # 20 seconds, the length of a scene of nuScenes


@dataclass(eq=False)
class SemanticKittiFrames:
    """Every `step`-th scan of some sequences, numbered across them; there are no images.

    A scene is 20 seconds of a sequence, named by its first scan, because the validation split is
    one sequence, over which no error bar could be computed. A pickled copy carries paths and counts
    alone.
    """

    root: str | Path  # a folder, or a bucket's URI
    sequences: tuple[tuple[str, int], ...]  # name and number of scans
    step: int
    intensity_scale: float
    intensity_offset: float
    has_labels: bool
    fingerprint: str
    class_names: tuple[str, ...] = CLASS_NAMES
    camera_names: tuple[str, ...] = ()
    identity: SplitIdentity | None = None

    def __len__(self) -> int:
        return len(self._cached)

    def tokens(self) -> Sequence[str]:
        """Return sequence and number of every scan."""
        return [self._token(index) for index in range(len(self))]

    def scenes(self) -> Sequence[str]:
        """Return the scene of every scan."""
        return [self._scene(index) for index in range(len(self))]

    def image_names(self) -> Sequence[str]:
        """Return no names; there are no images."""
        return ()

    def split_files(self) -> SplitFiles:
        """Return the files of the kept scans and of their labels."""
        positions = [self._position(index) for index in range(len(self))]
        scans = [scan_name(*position) for position in positions]
        labels = [label_name(*position) for position in positions] if self.has_labels else []
        return SplitFiles(scans, point_labels=labels)

    def read_image(self, name: str) -> UInt8[np.ndarray, "rows columns 3"]:
        """Raise UserError; there are no images."""
        raise UserError(f"{name!r} is not an image of {self.root}: SemanticKITTI has none.")

    def later(self, index: int, num_keyframes: int) -> int:
        """Return the index of the scan `num_keyframes` later in the same scene.

        Near the end of a scene it is the one that many scans earlier. Raises UserError for a scene
        that is too short.
        """
        scene = self._scene(index)
        for chosen in (index + num_keyframes, index - num_keyframes):
            if 0 <= chosen < len(self) and self._scene(chosen) == scene:
                return chosen
        raise UserError(
            f"Scene {scene} of {self.root}, with frame_step={self.step}, has no scan that lies "
            f"{num_keyframes} from {self._token(index)}: choose fewer by --set "
            "pretrained.clusters.num_keyframes_ahead, 0 compares a scan with itself."
        )

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Return one scan; `classes=False` leaves its labels unread.

        Raises UserError that names a missing or damaged file.
        """
        sequence, number = self._position(index)
        scan = read_scan(self._store, scan_name(sequence, number))
        intensity = scan[:, 3] * self.intensity_scale + self.intensity_offset
        class_ids = None
        if classes and self.has_labels:
            class_ids = self._class_ids(label_name(sequence, number), len(scan))
        return Frame(
            token=self._token(index),
            scene=self._scene(index),
            time_ns=0,
            xyz_m=np.ascontiguousarray(scan[:, :3]),
            intensity=intensity.astype(np.float32),
            images=(),
            image_names=(),
            cam_SE3_lidar=np.zeros((0, 4, 4)),
            intrinsics_px=np.zeros((0, 3, 3)),
            image_size_px=np.zeros((0, 2), np.int64),
            class_ids=class_ids,
        )

    def _class_ids(self, name: str, num_points: int) -> UInt8[np.ndarray, " N"]:
        fine = read_fine_ids(self._store, name, num_points)
        class_ids = class_lookup()[fine]
        if (class_ids == UNKNOWN).any():
            raise UserError(
                f"The label file {self._store.path(name)} has the class "
                f"{fine[class_ids == UNKNOWN][0]}, which SemanticKITTI does not; unpack it again."
            )
        return class_ids

    def _token(self, index: int) -> str:
        sequence, number = self._position(index)
        return f"{sequence}-{number:06d}"

    def _scene(self, index: int) -> str:
        sequence, number = self._position(index)
        return f"{sequence}-{number // SCANS_PER_SCENE * SCANS_PER_SCENE:06d}"

    def _position(self, index: int) -> tuple[str, int]:
        """Return the sequence of one of the kept scans and its number in it."""
        chosen = self._cached[index]
        sequence = int(np.searchsorted(self._ends, chosen, side="right"))
        name, num_scans = self.sequences[sequence]
        return name, int(chosen - self._ends[sequence] + num_scans)

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """The number of scans up to the end of each sequence."""
        return np.cumsum([number for _, number in self.sequences])

    @functools.cached_property
    def _cached(self) -> range:
        return range(0, sum(number for _, number in self.sequences), self.step)

    @functools.cached_property
    def _store(self) -> Store:
        return Store(self.root)


def read_scan(store: Store, name: str) -> Float[np.ndarray, "N 4"]:
    """Return x forward, y left, z up in metres and remission 0 to 1 of every return, float32."""
    data = store.read(name)
    if not data or len(data) % POINT_BYTES:
        raise UserError(
            f"The scan {store.path(name)} is truncated: {len(data)} bytes is not a number of "
            f"points of {POINT_BYTES} bytes each; unpack it again."
        )
    return np.frombuffer(data, "<f4").reshape(-1, 4)


def read_fine_ids(store: Store, name: str, num_points: int) -> UInt32[np.ndarray, " N"]:
    """Return the fine class of every point of a scan, as in the file."""
    data = store.read(name)
    if len(data) != num_points * LABEL_BYTES:
        raise UserError(
            f"The label file {store.path(name)} has {len(data) / LABEL_BYTES:g} labels for a scan "
            f"of {num_points} points; unpack it and its scan again."
        )
    return np.frombuffer(data, "<u4") & 0xFFFF
