"""Sizes of the files in a folder, by one reading of the folder, on a disk or in a bucket."""

import os
import stat
from collections.abc import Iterable
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
        self._found: dict[str, dict[str, FileStat]] = {}  # folder -> name in it -> file
        self._looked_for: dict[str, set[str]] = {}

    def of(self, names: Iterable[str]) -> dict[str, FileStat]:
        """Return the files of these names below the root that are there, in the names' order.

        Raises UserError for a folder that cannot be read.
        """
        wanted: dict[str, set[str]] = {}
        parts = [name.rpartition("/") for name in names]
        for folder, _, base in parts:
            wanted.setdefault(folder, set()).add(base)
        for folder, bases in wanted.items():
            self._look(folder, bases)
        found = {}
        for folder, slash, base in parts:
            if (one := self._found[folder].get(base)) is not None:
                found[f"{folder}{slash}{base}"] = one
        return found

    def _look(self, folder: str, bases: set[str]) -> None:
        known = self._looked_for.setdefault(folder, set())
        here = self._found.setdefault(folder, {})
        new = bases - known
        if not new:
            return
        if isinstance(self.root, Path):
            here.update(_on_disk(self.root / folder, new))
        elif not known:  # one listing has them all
            skip = len(folder) + 1 if folder else 0
            listed = Store(self.root).sizes_and_times(folder)
            here.update((name[skip:], FileStat(size, 0, at)) for name, (size, at) in listed.items())
        known |= new


def _on_disk(folder: Path, wanted: set[str]) -> dict[str, FileStat]:
    try:
        with os.scandir(folder) as entries:
            chosen = [entry for entry in entries if entry.name in wanted]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"Cannot list {folder}: {error.strerror}.") from None
    found = {}
    for entry in sorted(chosen, key=os.DirEntry.inode):
        try:
            seen = entry.stat()
        except OSError:  # a link to nothing
            continue
        if stat.S_ISREG(seen.st_mode):
            found[entry.name] = FileStat(seen.st_size, seen.st_ino, seen.st_mtime_ns)
    return found
