"""A folder of results, one file per scan, which a later call can continue.

A file is written completely or not at all, so every file in it is finished. `olivine.json` in the
folder records the network, the settings and the scans of the results, so that results of two
networks, or of two scans of one name, are never mixed unnoticed.
"""

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olivine.core.buckets import is_bucket
from olivine.core.checksums import DamagedError, read_checked, write_checked
from olivine.core.errors import UserError
from olivine.core.storage import Store, absolute

NOTE = "olivine.json"
LOCK = ".olivine.lock"
_HIDDEN = re.compile(r"\..+\.[0-9a-f]{8}")  # of an incomplete file of a Store


@dataclass(frozen=True)
class WrittenFiles:
    """The files that a call wrote to its folder."""

    folder: str
    num_written: int  # now
    num_kept: int  # existing ones


class OutputFolder:
    """Results in a folder or below a bucket's URI; `made_by` decides their content."""

    def __init__(self, folder: str | Path, made_by: Mapping[str, Any]):
        self.folder, self._made_by = str(folder), dict(made_by)
        self._store = Store(folder)

    @contextlib.contextmanager
    def opened(
        self, names: Sequence[str], stamps: Sequence[str], *, overwrite: bool = False
    ) -> Iterator[list[int]]:
        """Yield the positions of the results that are missing; one process writes at a time.

        `stamps` identify the scan of each result; the result of a file that changed since counts as
        missing. With `overwrite` all count as missing, and results of other settings are removed.
        Raises UserError if the folder holds other results, or another process writes to it.
        """
        wanted = dict(zip(names, stamps, strict=True))
        with self._alone():
            there = self._store.names()
            known = self._forget(there, wanted) if overwrite else self._known(there, wanted)
            done = {name for name in known.keys() & there if known[name] == wanted.get(name)}
            for name in (wanted.keys() & there) - done:
                self._store.delete(name)
            note = {"made_by": self._made_by, "scans": _grouped({**known, **wanted})}
            write_checked(self._store, NOTE, json.dumps(note, indent=1).encode())
            yield [place for place, name in enumerate(names) if name not in done]

    def write(self, name: str, data: bytes) -> None:
        """Write one result, completely or not at all."""
        self._store.write(name, data)

    def _known(self, there: Set[str], wanted: Mapping[str, str]) -> dict[str, str]:
        """Return the checked stamp of every result that the folder's record contains."""
        if NOTE not in there:
            strangers = sorted(wanted.keys() & there)
            if strangers:
                raise UserError(
                    f"{self.folder} has a {strangers[0]} already, and no {NOTE} that says what "
                    "made it: give another folder, or overwrite."
                )
            return {}
        made_by, known = self._read_note()
        for name, value in self._made_by.items():
            if made_by.get(name) != value:
                raise UserError(
                    f"{self.folder} holds results of other settings: {name} was "
                    f"{made_by.get(name)!r} and is {value!r} now. Give another folder, or "
                    "overwrite."
                )
        for name, stamp in wanted.items():
            if name in known and _what(known[name]) != _what(stamp):
                raise UserError(
                    f"{self.folder} has a {name} of another scan ({_what(known[name])}): give "
                    "another folder, or overwrite."
                )
        return known

    def _forget(self, there: Set[str], wanted: Mapping[str, str]) -> dict[str, str]:
        """Return the stamps of the results of the same settings that are not made again."""
        try:
            made_by, known = self._read_note() if NOTE in there else ({}, {})
        except UserError:  # a record that cannot be read is ignored
            return {}
        if made_by == self._made_by:
            return {name: stamp for name, stamp in known.items() if name not in wanted}
        for name in known.keys() & there:
            self._store.delete(name)
        return {}

    def _read_note(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the origin of the results, and the stamp of each."""
        try:
            note = json.loads(read_checked(self._store, NOTE))
            made_by, scans = dict(note["made_by"]), dict(note["scans"])
        except DamagedError as error:
            raise UserError(f"{error} Give another folder, or overwrite.") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self._store.path(NOTE)} cannot be read: give another folder, or overwrite."
            ) from None
        return made_by, {name: stamp for stamp, names in scans.items() for name in names}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, which ends with this process; a bucket has none.

        Incomplete files of a killed process are removed.
        """
        if is_bucket(self.folder):
            yield
            return
        folder = Path(absolute(self.folder))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK).open("w")
        except OSError as error:
            raise UserError(f"Cannot write below {folder}: {error.strerror}.") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"Another process is writing to {folder}: wait for it, or give another folder."
                ) from None
            for path in folder.rglob(".*"):
                if _HIDDEN.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            yield


def _what(stamp: str) -> str:
    """Return the source in a stamp: a path without its size and time, or a data set."""
    return re.sub(r" \d+ \d+$", "", stamp)


def _grouped(stamps: Mapping[str, str]) -> dict[str, list[str]]:
    """Return stamp -> names, because many frames of a split have one stamp."""
    grouped: dict[str, list[str]] = {}
    for name, stamp in stamps.items():
        grouped.setdefault(stamp, []).append(name)
    return grouped
