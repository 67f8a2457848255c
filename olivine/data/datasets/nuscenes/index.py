"""The index of a nuScenes version: built once, then memory-mapped.

The first start reads the tables (2 GB for v1.0-trainval) and writes `<fingerprint>.arrow` below the
cache folder. Later starts compare the tables' sizes and times with the recorded ones and read no
table. If they differ, the tables' contents are hashed, and the index is reused if the hashes are
equal.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from olivine.core.errors import UserError
from olivine.core.hashing import text_hash
from olivine.core.progress import Progress
from olivine.data.datasets.nuscenes.build import build_table
from olivine.data.datasets.nuscenes.sources import BucketTables, LocalTables, Stats, tables_of

_FORMAT = 3  # of the index file, which is part of its name
# Tables of point labels. Unpacking nuScenes-lidarseg adds the first and replaces the second, which
# changes nothing for a pretraining.
LABEL_TABLES = ("lidarseg.json", "category.json")


@dataclass(frozen=True)
class Index:
    """The memory-mapped index; only the parts that are used are read."""

    path: Path
    fingerprint: str  # of the tables' contents
    unlabelled_fingerprint: str  # the same without the tables that point labels alone need
    table: pa.Table
    scenes: tuple[tuple[str, int, int], ...]  # name, first keyframe, one past the last
    cameras: tuple[str, ...]
    class_lookup: tuple[int, ...] | None  # class id of each raw label; None without labels

    def __len__(self) -> int:
        return self.table.num_rows

    @functools.cached_property
    def cam_SE3_lidar(self) -> Float[np.ndarray, "F C 4 4"]:
        """The transform from the LiDAR at scan time to each camera at its own time."""
        return self._array("cam_SE3_lidar").reshape(len(self), -1, 4, 4)

    @functools.cached_property
    def global_SE3_lidar(self) -> Float[np.ndarray, "F 4 4"]:
        """The transform from the LiDAR at scan time to the map; only use differences of two."""
        return self._array("global_SE3_lidar").reshape(len(self), 4, 4)

    @functools.cached_property
    def intrinsics_px(self) -> Float[np.ndarray, "F C 3 3"]:
        """The pinhole matrix of each camera."""
        return self._array("intrinsics_px").reshape(len(self), -1, 3, 3)

    @functools.cached_property
    def image_size_px(self) -> Int[np.ndarray, "F C 2"]:
        """Rows and columns of each image by the tables."""
        return self._array("image_size_px").reshape(len(self), -1, 2)

    @functools.cached_property
    def time_ns(self) -> Int[np.ndarray, " F"]:
        """The time of the end of each scan."""
        return self._column("time_ns").to_numpy()

    def text(self, column: str, frame: int) -> str | None:
        """Return a frame's token, scan_name or label_name, or None where there is none."""
        return self._column(column)[frame].as_py()

    def image_name(self, frame: int, camera: int) -> str | None:
        """Return the path of one image below the root, or None if the keyframe lacks it."""
        return self.image_names[frame * len(self.cameras) + camera].as_py()

    @functools.cached_property
    def image_names(self) -> pa.StringArray:
        """All images, frame by frame, in the order of `cameras`."""
        return self._column("image_name").values

    def _column(self, name: str) -> Any:
        column = self.table[name]
        # The file has one batch, or none for a version without keyframes.
        return column.chunk(0) if column.num_chunks else column.combine_chunks()

    def _array(self, name: str) -> np.ndarray:
        return self._column(name).values.to_numpy()


def open_index(root: str | Path, version: str, cache_dir: Path) -> Index:
    """Return the index of root/version, and build it if the tables are new or have changed.

    Any number of processes may call this at once: one builds it and the others wait.
    """
    tables = tables_of(root, version)
    cache = cache_dir / "nuscenes"
    key = text_hash(tables.location, 16)
    stats = tables.stats()
    index = _recorded(cache, key, stats)
    if index:
        return index
    with _locked(cache, key):
        index = _recorded(cache, key, stats)
        return index or _find_or_build(tables, cache, key, stats)


def _find_or_build(
    tables: LocalTables | BucketTables, cache: Path, key: str, stats: Stats
) -> Index:
    with tables.folder(cache) as folder:
        prints = _fingerprints(folder, [name for name, _, _ in stats])
        path = _index_path(cache, prints[0])
        index = _mapped(path, prints[1])
        if index is None:
            table = build_table(folder)
            if tables.stats() != stats:
                raise UserError(
                    f"The tables in {folder} changed while they were read; run it again."
                )
            _write(path, table)
            index = _mapped(path, prints[1])
            assert index is not None, "an index that was just written can be read"
    record = {"stats": stats, "fingerprint": prints[0], "unlabelled": prints[1]}
    _write_bytes(cache / f"{key}.json", json.dumps(record).encode())
    return index


def _fingerprints(folder: Path, names: list[str]) -> tuple[str, str]:
    """Return 16 hex digits of all tables' contents, and of those without labels."""

    with ThreadPoolExecutor() as pool:  # hashing releases Python's lock
        digests = dict(
            zip(names, pool.map(_digest, [folder / name for name in names]), strict=True)
        )
    unlabelled = {name: found for name, found in digests.items() if name not in LABEL_TABLES}
    return text_hash(json.dumps(digests), 16), text_hash(json.dumps(unlabelled), 16)


def _digest(path: Path) -> str:
    hashed, num_mb = hashlib.sha256(), path.stat().st_size >> 20
    progress = Progress(f"Hashing {path.name}", "MB")
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            hashed.update(block)
            progress(stream.tell() >> 20, num_mb)
    return hashed.hexdigest()


def _index_path(cache: Path, fingerprint: str) -> Path:
    return cache / f"{fingerprint}.{_FORMAT}.arrow"


def _recorded(cache: Path, key: str, stats: Stats) -> Index | None:
    """Return the index that was made from tables of these sizes and times, if it is there."""
    try:
        record = json.loads((cache / f"{key}.json").read_bytes())
        if record["stats"] != stats:
            return None
        return _mapped(_index_path(cache, record["fingerprint"]), record["unlabelled"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(path: Path, unlabelled: str) -> Index | None:
    """Return a memory-mapped index, or None if it is missing or damaged and must be built again."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        about = json.loads(table.schema.metadata[b"olivine"])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    lookup = about["class_lookup"]
    return Index(
        path,
        path.name.split(".")[0],
        unlabelled,
        table,
        tuple((name, first, last) for name, first, last in about["scenes"]),
        tuple(about["cameras"]),
        None if lookup is None else tuple(lookup),
    )


def _write(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    _write_bytes(path, sink.getvalue())


def _write_bytes(path: Path, data: Any) -> None:
    """Write a file atomically; readers of the old file keep their mapping of it."""
    hidden = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        hidden.replace(path)
    except OSError as error:
        raise UserError(
            f"Cannot write the index {path}: {error.strerror}; choose another folder with "
            "`--set runtime.cache_dir=PATH`."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()


@contextlib.contextmanager
def _locked(cache: Path, key: str) -> Iterator[None]:
    """Let one process at a time build; the lock of a process that dies is released."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / f"{key}.lock").open("w")
    except OSError as error:
        raise UserError(
            f"Cannot write the index below {cache}: {error.strerror}; choose another folder with "
            "`--set runtime.cache_dir=PATH`."
        ) from None
    with lock:
        # Without locks the index may be built twice, but never wrongly.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
