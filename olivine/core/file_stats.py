"""Sizes of the files in a folder, by one reading of the folder, on a disk or in a bucket."""

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from olivine.core.errors import UserError
from olivine.core.storage import Store, absolute


class FileStat(NamedTuple):
    """A file's size, and what shows that it was written again."""

    size: int  # bytes
    inode: int  # 0 in a bucket
    mtime_ns: int  # of the last change; in a bucket, of the upload


class FolderStats:
    """The files below one root, each of its folders read once, when it is first asked for.

    So the answers are those of one moment, and every stage makes a new one. A folder of a disk is
    read by one `scandir`, and only the wanted files are looked at, in the order of their inodes, in
    which a cold disk answers fastest. A folder of a bucket is one listing.
    """

    def __init__(self, root: str | Path):
        self.root = absolute(root)
        self._found: dict[str, FileStat] = {}
        self._looked_for: dict[str, set[str]] = {}  # folder -> names in it

    def of(self, names: Iterable[str]) -> dict[str, FileStat]:
        """Return the files of these names below the root that are there, in the names' order.

        Raises UserError for a folder that cannot be read.
        """
        names, wanted = list(names), defaultdict[str, set[str]](set)
        for name in names:
            folder, _, base = name.rpartition("/")
            wanted[folder].add(base)
        for folder, bases in wanted.items():
            self._look(folder, bases)
        return {name: self._found[name] for name in names if name in self._found}

    def _look(self, folder: str, bases: set[str]) -> None:
        known = self._looked_for.setdefault(folder, set())
        new = bases - known
        if not new:
            return
        if isinstance(self.root, Path):
            prefix = f"{folder}/" if folder else ""
            here = _on_disk(self.root / folder, new)
            self._found.update((prefix + name, seen) for name, seen in here)
        elif not known:  # one listing has them all
            listed = Store(self.root).sizes_and_times(folder)
            self._found.update((name, FileStat(size, 0, at)) for name, (size, at) in listed.items())
        known |= new


def _on_disk(folder: Path, wanted: set[str]) -> Iterator[tuple[str, FileStat]]:
    try:
        with os.scandir(folder) as entries:
            chosen = [entry for entry in entries if entry.name in wanted]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"Cannot list {folder}: {error.strerror}.") from None
    for entry in sorted(chosen, key=os.DirEntry.inode):
        try:
            seen = entry.stat()
        except OSError:  # a link to nothing
            continue
        if stat.S_ISREG(seen.st_mode):
            yield entry.name, FileStat(seen.st_size, seen.st_ino, seen.st_mtime_ns)
