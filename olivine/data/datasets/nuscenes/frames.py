"""The keyframes of a split, read from their files when they are needed."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float, UInt8

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES, UNKNOWN
from olivine.data.datasets.nuscenes.index import LABEL_TABLES, Index, open_index
from olivine.data.identity.split import SplitFiles, SplitIdentity
from olivine.data.images import EncodedImage
from olivine.data.records import Frame

_SCAN_COLUMNS = 5  # x, y, z, intensity, ring
SCAN_ROW_BYTES = 4 * _SCAN_COLUMNS


@dataclass(eq=False)
class NuscenesFrames:
    """A split of an indexed nuScenes data set.

    A pickled copy carries paths and ranges alone and maps the index when it is first used, so
    loader processes share its memory.
    """

    root: str | Path  # a folder, or a bucket's URI
    version: str
    cache_dir: Path
    camera_names: tuple[str, ...]
    fingerprint: str  # of the tables, without those of point labels
    index_fingerprint: str  # of all tables
    ranges: tuple[tuple[str, int, int], ...]  # scene, first keyframe, one past the last
    class_names: tuple[str, ...] = CLASS_NAMES
    identity: SplitIdentity | None = None

    def __getstate__(self) -> dict[str, Any]:
        fields = type(self).__dataclass_fields__
        return {name: getattr(self, name) for name in fields}

    def __len__(self) -> int:
        return len(self._rows)

    def tokens(self) -> Sequence[str]:
        """Return the sample token of every keyframe."""
        return self._index.column("token").take(self._rows).to_pylist()

    def scan_tokens(self) -> Sequence[str]:
        """Return the sample_data token of every keyframe's scan; predictions are named by it."""
        return self._index.column("scan_token").take(self._rows).to_pylist()

    def scenes(self) -> Sequence[str]:
        """Return the scene name of every keyframe."""
        return [name for name, first, last in self.ranges for _ in range(first, last)]

    def image_names(self) -> Sequence[str]:
        """Return the path of every image below the root, keyframe by keyframe."""
        positions = self._rows[:, None] * len(self._index.cameras) + self._cameras
        return self._index.image_names.take(positions.ravel()).to_pylist()

    def split_files(self) -> SplitFiles:
        """Return the files of the split's scans, images and, where there are some, labels."""
        columns = [
            self._index.column(name).take(self._rows) for name in ("scan_name", "label_name")
        ]
        scans, labels = (column.drop_null().to_pylist() for column in columns)
        tables = [f"{self.version}/{name}" for name in LABEL_TABLES] if labels else []
        return SplitFiles(scans, self.image_names(), labels, tables)

    def read_image(self, name: str) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return one image as RGB; raise UserError if it is unreadable or has another size."""
        return self.encoded_image(name).pixels()

    def encoded_image(self, name: str) -> EncodedImage:
        """Return one image as it is in its file; raise UserError if there is none."""
        position = pc.index(self._index.image_names, name).as_py()
        if position < 0:
            raise UserError(f"{name!r} is not an image of {self._tables}.")
        frame, camera = divmod(position, len(self._index.cameras))
        return self._picture(name, self._index.image_size_px[frame, camera])

    def later(self, index: int, num_keyframes: int) -> int:
        """Return the index of the keyframe `num_keyframes` later in the same scene.

        Near the end of a scene it is the one that many keyframes earlier. Raises UserError for a
        scene that is too short.
        """
        begins = np.cumsum([0, *(end - begin for _, begin, end in self.ranges)])
        scene = int(np.searchsorted(begins, index, side="right")) - 1
        first, last = begins[scene], begins[scene + 1]
        for chosen in (index + num_keyframes, index - num_keyframes):
            if first <= chosen < last:
                return chosen
        raise UserError(
            f"Scene {self.ranges[scene][0]} of {self._tables} has {last - first} keyframes, so "
            f"none lies {num_keyframes} from number {index - first + 1}: choose fewer by --set "
            "pretrained.clusters.num_keyframes_ahead, 0 compares a scan with itself."
        )

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Return one keyframe; `images=False` and `classes=False` leave those files unread.

        Raises UserError that names a missing or damaged file.
        """
        row, table = int(self._rows[index]), self._index
        names = tuple(table.image_name(row, camera) or "" for camera in self._cameras)
        sizes = table.image_size_px[row, self._cameras]
        scan = _read_scan(self._store, table.text("scan_name", row) or "")
        return Frame(
            token=table.text("token", row) or "",
            scene=self._scene(row),
            time_ns=int(table.time_ns[row]),
            xyz_m=np.ascontiguousarray(scan[:, :3]),
            intensity=np.ascontiguousarray(scan[:, 3]),
            images=tuple(
                self._picture(name, size)
                for name, size in zip(names if images else (), sizes, strict=False)
            ),
            image_names=names,
            cam_SE3_lidar=table.cam_SE3_lidar[row, self._cameras],
            intrinsics_px=table.intrinsics_px[row, self._cameras],
            image_size_px=sizes,
            class_ids=self._class_ids(row, len(scan)) if classes else None,
            global_SE3_lidar=table.global_SE3_lidar[row],
        )

    def _picture(self, name: str, size_px: np.ndarray) -> EncodedImage:
        size = int(size_px[0]), int(size_px[1])
        data = _read_bytes(self._store, name)
        return EncodedImage(data, str(self._store.path(name)), size, "sample_data.json")

    def require_files(self) -> None:
        """Raise UserError if a keyframe has no scan or lacks an image of a chosen camera."""
        table = self._index
        positions = self._rows[:, None] * len(table.cameras) + self._cameras
        scans, images = (
            names.take(chosen).is_null().to_numpy(zero_copy_only=False)
            for names, chosen in (
                (table.column("scan_name"), self._rows),
                (table.image_names, positions.ravel()),
            )
        )
        lacks = np.concatenate([scans[:, None], images.reshape(len(self), -1)], axis=1)
        if lacks.any():
            frame, channel = np.argwhere(lacks)[0]
            name = ("LIDAR_TOP", *self.camera_names)[channel]
            token = table.text("token", int(self._rows[frame]))
            raise UserError(
                f"sample_data.json of {self._tables} has no {name} keyframe for "
                f"sample {token!r} ({int(lacks.sum())} files are missing); "
                f"`olivine data check {self.root}` lists all such faults."
            )

    def _class_ids(self, row: int, num_points: int) -> UInt8[np.ndarray, " N"] | None:
        if self._index.class_lookup is None:
            return None
        name = self._index.text("label_name", row)
        if name is None:
            token = self._index.text("token", row)
            raise UserError(
                f"lidarseg.json of {self._tables} has no row for the scan of sample "
                f"{token!r}; `olivine data check {self.root}` lists all such faults."
            )
        path = self._store.path(name)
        raw = np.frombuffer(_read_bytes(self._store, name), np.uint8)
        if len(raw) != num_points:
            raise UserError(
                f"The label file {path} has {len(raw)} labels for a scan of {num_points} points; "
                "unpack it and its scan again."
            )
        class_ids = np.array(self._index.class_lookup, np.uint8)[raw]
        if (class_ids == UNKNOWN).any():
            worst = int(raw[class_ids == UNKNOWN][0])
            raise UserError(
                f"The label file {path} has the class {worst}, which category.json does not."
            )
        return class_ids

    @property
    def _tables(self) -> str:
        return f"{self.root}/{self.version}"

    @functools.cached_property
    def _store(self) -> Store:
        return Store(self.root)

    @functools.cached_property
    def _index(self) -> Index:
        index = open_index(self.root, self.version, self.cache_dir)
        if index.fingerprint != self.index_fingerprint:
            raise UserError(
                f"The tables of {self._tables} changed after the data set was opened; start again."
            )
        return index

    @functools.cached_property
    def _rows(self) -> np.ndarray:
        """The row of each keyframe in the index."""
        return np.concatenate([np.arange(first, last) for _, first, last in self.ranges])

    @functools.cached_property
    def _cameras(self) -> list[int]:
        return [self._index.cameras.index(name) for name in self.camera_names]

    def _scene(self, row: int) -> str:
        return next(name for name, first, last in self.ranges if first <= row < last)


def _read_scan(store: Store, name: str) -> Float[np.ndarray, "N 5"]:
    """Return x, y, z in metres, intensity 0 to 255 and ring of every return, float32."""
    data = _read_bytes(store, name)
    if not data or len(data) % SCAN_ROW_BYTES:
        raise UserError(
            f"The scan {store.path(name)} is truncated: {len(data)} bytes is not a number of "
            f"points of {SCAN_ROW_BYTES} bytes each; unpack it again."
        )
    return np.frombuffer(data, "<f4").reshape(-1, _SCAN_COLUMNS)


def _read_bytes(store: Store, name: str) -> bytes:
    try:
        return store.read(name)
    except UserError as error:
        said = str(error).rstrip(".")
        raise UserError(f"{said}; `olivine data check` lists every such file.") from None
