"""The tables of a nuScenes version, in a local folder or in a bucket from which they are copied."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.progress import Progress
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes.build import LABEL_TABLE, TABLES

Stats = list[list]  # name, size and time of every table that the index is made from


class LocalTables:
    """Tables in a local folder, read in place."""

    def __init__(self, root: Path, version: str):
        self._folder = version_folder(root, version)
        self.location = str(self._folder.resolve())

    def stats(self) -> Stats:
        """Return name, size and time of the tables; raise UserError if one is missing."""
        stats = []
        for name in _names():
            path = self._folder / name
            try:
                stat = path.stat()
            except FileNotFoundError:
                _require_optional(name, str(path))
                continue
            stats.append([name, stat.st_size, stat.st_mtime_ns])
        return stats

    @contextlib.contextmanager
    def folder(self, cache: Path) -> Iterator[Path]:
        """Yield the folder."""
        yield self._folder


class BucketTables:
    """Tables in a bucket; they are copied below the cache while an index is built of them."""

    def __init__(self, root: str, version: str):
        self._store, self._version = Store(root), version
        self.location = self._store.path(version)

    def stats(self) -> Stats:
        """Return name, size and time of the tables by one listing.

        Raises UserError if the bucket does not answer, or lacks the version or one of its tables.
        """
        found = self._store.sizes_and_times(self._version)
        if not found:
            raise UserError(_no_version(self._store.root, self._version, self._versions()))
        stats: Stats = []
        for name in _names():
            if (path := f"{self._version}/{name}") in found:
                stats.append([name, *found[path]])
            else:
                _require_optional(name, self._store.path(path))
        return stats

    @contextlib.contextmanager
    def folder(self, cache: Path) -> Iterator[Path]:
        """Yield a copy, which is removed afterwards; errors name the bucket, not the copy."""
        stats = self.stats()
        num_mb = sum(size for _, size, _ in stats) >> 20
        progress, done = Progress(f"Copying the tables of {self.location}", "MB"), 0
        with tempfile.TemporaryDirectory(prefix=".tables-", dir=cache) as copy:
            folder = Path(copy) / self._version
            for name, size, _ in stats:
                self._store.copy(f"{self._version}/{name}", folder / name)
                done += size
                progress(done >> 20, num_mb)
            try:
                yield folder
            except UserError as error:
                raise UserError(str(error).replace(copy, self._store.path(""))) from None

    def _versions(self) -> list[str]:
        return sorted(name for name in self._store.folders() if name.startswith("v1.0-"))


def tables_of(root: str | Path, version: str) -> LocalTables | BucketTables:
    """Return the tables of a version; raise UserError if a local root does not have it."""
    return BucketTables(str(root), version) if is_bucket(root) else LocalTables(Path(root), version)


def versions(root: Path) -> list[str]:
    """Return the versions whose tables are below a root."""
    return sorted(path.name for path in root.glob("v1.0-*") if path.is_dir())


def version_folder(root: Path, version: str) -> Path:
    """Return root/version; raise UserError that lists the existing versions."""
    if not root.is_dir():
        reason = "it is no folder" if root.exists() else "the folder is not there"
        raise UserError(
            f"No data set at {root.absolute()}: {reason}. nuScenes' root holds "
            f"samples/ and {version}/; set it with `--set runtime.data_root=PATH`."
        )
    folder = root / version
    if not folder.is_dir():
        raise UserError(_no_version(str(root.absolute()), version, versions(root)))
    return folder


def _names() -> list[str]:
    return [f"{table}.json" for table in (*TABLES, LABEL_TABLE)]


def _require_optional(name: str, path: str) -> None:
    """Raise UserError for a missing table that every version has."""
    if name != f"{LABEL_TABLE}.json":
        raise UserError(f"The table {path} is missing; unpack nuScenes' metadata archive again.")


def _no_version(root: str, version: str, found: list[str]) -> str:
    return f"No {version} in {root}; " + (
        f"it has {', '.join(found)}: choose one with the data set's `version`."
        if found
        else "it has no folder v1.0-*, so it is not the root of a nuScenes data set; "
        "set the root with `--set runtime.data_root=PATH`."
    )
