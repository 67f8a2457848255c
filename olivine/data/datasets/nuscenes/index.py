"""The index of a nuScenes version: built once, then memory-mapped.

The first start reads the tables (2 GB for v1.0-trainval) and writes `<fingerprint>.arrow` below the
cache folder. Later starts compare the tables' sizes and times with the recorded ones and read no
table. If they differ, the tables' contents are hashed, and the index is reused if the hashes are
equal. A damaged index is renamed with a warning and built again, also if the damage is found when a
column is first used.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from olivine.core.checksums import (
    DamagedError,
    Piece,
    read_cached,
    read_checked,
    set_aside,
    with_checksum,
)
from olivine.core.errors import UserError
from olivine.core.hashing import text_hash
from olivine.core.progress import Progress
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes.build import build_table
from olivine.data.datasets.nuscenes.index_file import MappedTable, table_file
from olivine.data.datasets.nuscenes.sources import BucketTables, LocalTables, Stats, tables_of

_FORMAT = 3  # of the index file, which is part of its name
# Tables of point labels. Unpacking nuScenes-lidarseg adds the first and replaces the second, which
# changes nothing for a pretraining.
LABEL_TABLES = ("lidarseg.json", "category.json")


@dataclass
class Index:
    """The memory-mapped index; only the parts that are used are read."""

    file: MappedTable
    fingerprint: str  # of the tables' contents
    unlabelled_fingerprint: str  # the same without the tables that point labels alone need
    remade: Callable[[str], MappedTable]  # the file built again, since this column is damaged
    scenes: tuple[tuple[str, int, int], ...]  # name, first keyframe, one past the last
    cameras: tuple[str, ...]
    class_lookup: tuple[int, ...] | None  # class id of each raw label; None without labels

    def __len__(self) -> int:
        return int(self.file.table.num_rows)

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
        return self.column("time_ns").to_numpy()

    def text(self, column: str, frame: int) -> str | None:
        """Return a frame's token, scan_name or label_name, or None where there is none."""
        return self.column(column)[frame].as_py()

    def image_name(self, frame: int, camera: int) -> str | None:
        """Return the path of one image below the root, or None if the keyframe lacks it."""
        return self.image_names[frame * len(self.cameras) + camera].as_py()

    @functools.cached_property
    def image_names(self) -> pa.StringArray:
        """All images, frame by frame, in the order of `cameras`."""
        return self.column("image_name").values

    def column(self, name: str) -> Any:
        """Return a column as one Arrow array, from a new file if this one is damaged."""
        try:
            return self.file.column(name)
        except DamagedError:
            self.file = self.remade(name)
            return self.file.column(name)

    def _array(self, name: str) -> np.ndarray:
        return self.column(name).values.to_numpy()


def open_index(root: str | Path, version: str, cache_dir: Path) -> Index:
    """Return the index of root/version, and build it if the tables are new or have changed.

    Any number of processes may call this at once: one builds it and the others wait.
    """
    tables = tables_of(root, version)
    source = _Source(tables, cache_dir / "nuscenes", text_hash(tables.location, 16))
    stats = tables.stats()
    found = source.recorded(stats)
    if found is None:
        with _locked(source.cache, source.key):
            found = source.recorded(stats, sets_aside=True) or source.find_or_build(stats)
    file, unlabelled = found
    about = json.loads(file.metadata[b"olivine"])
    lookup = about["class_lookup"]
    return Index(
        file,
        file.path.name.split(".")[0],
        unlabelled,
        lambda column: source.remade(file.path, column),
        tuple((name, first, last) for name, first, last in about["scenes"]),
        tuple(about["cameras"]),
        None if lookup is None else tuple(lookup),
    )


class _Record(NamedTuple):
    """The tables from which an index was made."""

    stats: Stats
    fingerprint: str
    unlabelled: str  # fingerprint without the tables that point labels alone need


@dataclass(frozen=True)
class _Source:
    """The tables of an index, the folder of the indices, and the name of the record in it."""

    tables: LocalTables | BucketTables
    cache: Path
    key: str

    def recorded(self, stats: Stats, *, sets_aside: bool = False) -> tuple[MappedTable, str] | None:
        """Return the index that was made from tables of these sizes and times, if it is there.

        Beside it is the fingerprint without the tables of point labels. Damaged files count as
        missing; with `sets_aside`, which needs the lock, they are renamed.
        """
        record = self._record(sets_aside)
        if record is None or record.stats != stats:
            return None
        index = _mapped(_index_path(self.cache, record.fingerprint), sets_aside=sets_aside)
        return None if index is None else (index, record.unlabelled)

    def find_or_build(self, stats: Stats) -> tuple[MappedTable, str]:
        """Return the index of the tables' contents, as `recorded` does; the lock is held."""
        with self.tables.folder(self.cache) as folder:
            fingerprint, unlabelled = _fingerprints(folder, [name for name, _, _ in stats])
            path = _index_path(self.cache, fingerprint)
            index = _mapped(path, sets_aside=True)
            if index is None:
                table = build_table(folder)
                if self.tables.stats() != stats:
                    raise UserError(
                        f"The tables in {folder} changed while they were read; run it again."
                    )
                _write_bytes(path, table_file(table, fingerprint))
                index = _mapped(path)
                assert index is not None, "an index that was just written can be read"
        record = _Record(stats, fingerprint, unlabelled)._asdict()
        _write_bytes(self.cache / f"{self.key}.json", *with_checksum(json.dumps(record).encode()))
        return index, unlabelled

    def remade(self, path: Path, column: str) -> MappedTable:
        """Return the index whose file is damaged in a column, built again by one process."""
        with _locked(self.cache, self.key):
            index = _mapped(path, sets_aside=True)
            try:
                if index is not None:
                    index.column(column)
            except DamagedError as error:
                _set_aside(path, error)
                index = None
            index = index or self.find_or_build(self.tables.stats())[0]
        if index.path != path:
            raise UserError(
                f"The tables in {self.tables.location} changed since they were opened, and their "
                "index was damaged; run it again."
            )
        return index

    def _record(self, sets_aside: bool) -> _Record | None:
        def parse(data: bytes) -> _Record | None:
            record = json.loads(data)
            if "unlabelled" not in record:  # by a version before 0.3
                return None
            return _Record(record["stats"], record["fingerprint"], record["unlabelled"])

        store, name = Store(self.cache), f"{self.key}.json"
        if sets_aside:
            return read_cached(store, name, parse)
        try:
            return parse(read_checked(store, name))
        except (UserError, ValueError, KeyError, TypeError):
            return None


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


def _mapped(path: Path, *, sets_aside: bool = False) -> MappedTable | None:
    """Return a memory-mapped index, or None if it is missing or damaged and must be built again."""
    try:
        file = MappedTable(path, path.name.split(".")[0])
        about = json.loads(file.metadata[b"olivine"])
        if about.keys() >= {"scenes", "cameras", "class_lookup"}:
            return file
        error = DamagedError(f"{path} is damaged: it is no index.")
    except OSError:
        return None
    except DamagedError as damage:
        error = damage
    except (KeyError, ValueError, AttributeError):
        error = DamagedError(f"{path} is damaged: it is no index.")
    if sets_aside:
        _set_aside(path, error)
    return None


def _set_aside(path: Path, error: DamagedError) -> None:
    renamed = set_aside(Store(path.parent), path.name)
    warnings.warn(f"{error} {renamed} It is built again.", stacklevel=2)


def _write_bytes(path: Path, *pieces: Piece) -> None:
    """Write a file atomically; readers of the old file keep their mapping of it."""
    hidden = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("wb") as stream:
            stream.writelines(pieces)
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
