"""Hashes of files' contents, kept between runs.

A hash is kept with the file's size, inode and time of change, and taken again if one of them
differs. These decide only whether a file is read again: they are in no identity, so a data set that
is copied or touched has the identity that it had.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from olivine.core.file_stats import FileStat
from olivine.core.hashing import text_hash
from olivine.core.progress import Progress
from olivine.core.storage import Store

NUM_DIGITS = 32  # of a file's SHA-256
# A file that changed so shortly before it was read may change again without another time: disks
# count in milliseconds, buckets in seconds of a clock that may differ from this machine's.
SETTLED_S, SETTLED_IN_BUCKET_S = 2.0, 300.0
_NUM_THREADS = 8
_VERSION = "olivine-hashes-1"

_Kept = dict[str, tuple[FileStat, str]]


class ContentHashes:
    """The hashes of files below one root, kept below the cache folder."""

    def __init__(self, root: str | Path, cache_dir: Path):
        self._store = Store(root)
        self._is_local = isinstance(root, Path)
        where = str(root.resolve()) if isinstance(root, Path) else str(root)
        self._path = cache_dir / "hashes" / f"{text_hash(where, 16)}.tsv"

    def of(self, files: Mapping[str, FileStat]) -> dict[str, str]:
        """Return the hash of each file; only new and changed ones are read.

        Raises UserError for a file that cannot be read.
        """
        kept = _read(self._path)
        unread = [name for name, seen in files.items() if kept.get(name, (None,))[0] != seen]
        if unread:
            settled_ns = time.time_ns() - int(
                1e9 * (SETTLED_S if self._is_local else SETTLED_IN_BUCKET_S)
            )
            new = dict(zip(unread, self._hash(unread), strict=True))
            found = {name: new.get(name) or kept[name][1] for name in files}
            kept |= {name: (files[name], new[name]) for name in unread}
            _write(self._path, {n: one for n, one in kept.items() if one[0].mtime_ns < settled_ns})
            return found
        return {name: kept[name][1] for name in files}

    def _hash(self, names: list[str]) -> list[str]:
        progress, hashes = Progress("Hashing point labels", "files"), []

        def hash_one(name: str) -> str:
            return hashlib.sha256(self._store.read(name)).hexdigest()[:NUM_DIGITS]

        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for found in pool.map(hash_one, names):
                hashes.append(found)
                progress(len(hashes), len(names))
        return hashes


def _read(path: Path) -> _Kept:
    """Return the kept hashes; none if the file is missing or damaged."""
    try:
        head, _, body = path.read_text().partition("\n")
        if head != f"{_VERSION} {text_hash(body, 16)}":
            return {}
        kept = {}
        for line in body.splitlines():
            name, size, inode, mtime_ns, found = line.split("\t")
            kept[name] = FileStat(int(size), int(inode), int(mtime_ns)), found
    except (OSError, ValueError):
        return {}
    return kept


def _write(path: Path, kept: _Kept) -> None:
    body = "".join(
        f"{name}\t{seen.size}\t{seen.inode}\t{seen.mtime_ns}\t{found}\n"
        for name, (seen, found) in kept.items()
    )
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with suppress(OSError):  # the next start reads the files again
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(f"{_VERSION} {text_hash(body, 16)}\n{body}")
        os.replace(hidden, path)
