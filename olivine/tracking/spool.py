"""The metric spool: entries of a run on the local disk until the run store has received them.

There is one file per opening of a run. Its first line is the position up to which entries were
received, its second a header about the run; each further line is one entry in JSON. Each line has a
checksum, and so has the name of each file that is to be sent; files of versions before 0.3 have
none. An entry is in the file when `append` returns, so a killed process loses none; after `sync` it
also survives a crash of the machine. The process that writes or sends a file holds a lock on it.
The lock ends with its process, so a file without a lock was left behind by a process that ended.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olivine.core.checksums import DAMAGED, DamagedError, digest, has_checksum
from olivine.core.checksums import NUM_DIGITS as NUM_CHECKSUM_DIGITS
from olivine.core.errors import UserError
from olivine.tracking.spool_lines import (
    NUM_DIGITS,
    Entry,
    first_line,
    line_of,
    parsed_line,
    position_in,
    sync_folder,
    unreadable,
    whole_lines,
    write_all,
)

SUFFIX, REFUSED = ".outbox", ".refused"
READ_BYTES = 1 << 16  # read at once, unless an entry is larger
COMPACT_BYTES = 4 << 20  # a larger file whose entries were all received is emptied
_CUT = "its line was cut, by a loss of power or a full disk"
_KEPT = re.compile(rf"[0-9a-f]{{8}}-([0-9a-f]{{{NUM_CHECKSUM_DIGITS}}})/(.+)")
log = logging.getLogger("olivine")


@dataclass(frozen=True)
class Pending:
    """An entry that the store has not received yet."""

    entry: Entry
    end: int  # position behind its line in the file


class MetricSpool:
    """The spool file of one opening of a run. Threads of one process may share it."""

    def __init__(self, path: Path, descriptor: int):
        self.path = path
        self._descriptor = descriptor
        self._lock = threading.Lock()
        first, header, *_ = *os.pread(descriptor, READ_BYTES, 0).split(b"\n", 2), b""
        self._has_checksums = len(first) > NUM_DIGITS or has_checksum(header)
        self.header = parsed_line(header, path, self._has_checksums)
        if "run_id" not in self.header:
            raise DamagedError(f"The header of {path} is damaged.")
        self._start = len(first) + len(header) + 2
        size = os.fstat(descriptor).st_size
        self._size = whole_lines(descriptor, size)
        if self._size < size:
            self._set_aside_cut(os.pread(descriptor, size - self._size, self._size))
        self._taken = min(max(self._position(first), self._start), self._size)
        _OPEN.add(self)

    @classmethod
    def create(cls, folder: Path, run_id: str, header: Mapping[str, Any]) -> "MetricSpool":
        """Return a new, locked file in a folder, which is made if it is not there.

        `header` holds the facts about the run that a sender needs. Raises UserError if the folder
        cannot be written.
        """
        name = f"{time.time_ns():0{NUM_DIGITS}d}-{run_id}"
        hidden = folder / f"{name}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            second = line_of({**header, "run_id": run_id})
            start = len(first_line(0)) + len(b"\n") + len(second)
            write_all(descriptor, first_line(start) + b"\n" + second, 0)
            os.fsync(descriptor)
            hidden.rename(folder / f"{name}{SUFFIX}")
            sync_folder(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                hidden.unlink()
            raise UserError(
                f"Cannot write {hidden}: {error.strerror}. Metrics are kept there until the run "
                "store has received them; set runtime.cache_dir to a local folder."
            ) from None
        return cls(folder / f"{name}{SUFFIX}", descriptor)

    @classmethod
    def adopt(cls, path: Path) -> "MetricSpool | None":
        """Return the spool that an ended process left behind, locked by this process.

        Returns None if its process lives, if another process has adopted it, or if it is gone or
        another user's. A file whose header is damaged is renamed with a warning; a cut last line is
        put beside the file with one.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
        except (FileNotFoundError, PermissionError):
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink == 0:  # another process has sent and removed it
            os.close(descriptor)
            return None
        try:
            return cls(path, descriptor)
        except DamagedError as error:
            rename_damaged(path, str(error))
        except OSError as error:
            log.warning(f"Cannot read {path}: {error.strerror}. Its metrics are not sent.")
        os.close(descriptor)
        return None

    @property
    def num_waiting_bytes(self) -> int:
        """The number of bytes that the store has not received yet."""
        return self._size - self._taken

    @property
    def end(self) -> int:
        """The position of the file's end, behind all present entries."""
        return self._size

    def append(self, entry: Entry) -> None:
        """Write an entry, which then survives the process; raise UserError for a full disk."""
        line = line_of(entry)
        with self._lock:
            assert self._descriptor >= 0, "a run that has ended, or its copy in a forked process"
            try:
                write_all(self._descriptor, line, self._size)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
                raise UserError(f"Cannot write {self.path}: {error.strerror}.") from None
            self._size += len(line)

    def sync(self) -> None:
        """Return when all entries so far would survive a loss of power."""
        os.fsync(self._descriptor)

    def pending(self) -> list[Pending]:
        """Return the oldest entries that the store has not received, or the first ones of many."""
        with self._lock:
            first, waiting = self._taken, self._size - self._taken
        num_bytes, data = READ_BYTES, b""
        while waiting and b"\n" not in data:
            data = os.pread(self._descriptor, min(waiting, num_bytes), first)
            num_bytes *= 4
        found, end = [], first
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            end += len(line)
            entry = parsed_line(line.removesuffix(b"\n"), self.path, self._has_checksums)
            found.append(Pending(entry if "kind" in entry else unreadable(line), end))
        return found

    def mark_received(self, end: int) -> None:
        """Record that the store has received all entries up to the position `end`."""
        with self._lock:
            if end == self._size and end > COMPACT_BYTES:
                os.ftruncate(self._descriptor, self._start)
                end = self._size = self._start
            first = first_line(end) if self._has_checksums else f"{end:0{NUM_DIGITS}d}".encode()
            write_all(self._descriptor, first, 0)
            self._taken = end

    def add_file(self, path: Path) -> str:
        """Copy a file that is to be sent; return the name by which `file` finds the copy."""
        return self._keep(path.name, path.read_bytes())

    def add_text(self, name: str, text: str) -> str:
        """Write a text that is to be sent as a file; return its name for `file`."""
        return self._keep(name, text.encode())

    def file(self, name: str) -> Path:
        """Return the path of a file that `add_file` or `add_text` made, which may be gone.

        Raises ValueError if its content is another.
        """
        path, kept = self._folder / name, _KEPT.fullmatch(name)
        if kept and path.exists() and digest(kept[2], path.read_bytes()) != kept[1]:
            raise ValueError(f"{path} is damaged: its checksum is not that of its content")
        return path

    def drop_file(self, name: str) -> None:
        """Remove a file that was sent."""
        shutil.rmtree((self._folder / name).parent, ignore_errors=True)

    def save_refused(self, entry: Entry, reason: str) -> Path:
        """Write an entry that the store refuses to a file beside the spool; return its path."""
        path = self.path.with_suffix(REFUSED)
        with path.open("a") as stream:
            stream.write(json.dumps({**entry, "reason": reason}) + "\n")
        return path

    def close(self) -> None:
        """Release the file, so that another process may send the rest."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Remove the spool and its files, except the files of entries that were refused."""
        self.path.unlink(missing_ok=True)
        if not self.path.with_suffix(REFUSED).exists():
            shutil.rmtree(self._folder, ignore_errors=True)
        self.close()

    @property
    def _folder(self) -> Path:
        return self.path.with_suffix(".files")

    def _position(self, first: bytes) -> int:
        position = position_in(first, self._has_checksums)
        if position is None:  # sending all entries again is harmless
            log.warning(
                f"The first line of {self.path} is damaged: all its entries are sent again."
            )
        return position or 0

    def _set_aside_cut(self, line: bytes) -> None:
        """Move what is behind the last whole line to a file beside the spool."""
        with contextlib.suppress(OSError):  # it stays, and the next entry is written over it
            path = self.save_refused(unreadable(line), _CUT)
            os.ftruncate(self._descriptor, self._size)
            log.warning(f"An entry of {self.path} cannot be sent ({_CUT}); it is in {path}.")

    def _keep(self, name: str, data: bytes) -> str:
        kept = f"{uuid.uuid4().hex[:8]}-{digest(name, data)}/{name}"
        target = self._folder / kept
        try:
            target.parent.mkdir(parents=True)
            with target.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())  # before its entry, which is synced later
        except OSError as error:
            raise UserError(f"Cannot keep a copy of {name}: {error.strerror}.") from None
        return kept


def left_behind(folder: Path, run_id: str = "*") -> list[Path]:
    """Return a folder's spool files, oldest first, of all runs or of one; some may be in use."""
    return sorted(folder.glob(f"*-{run_id}{SUFFIX}"))


def rename_damaged(path: Path, problem: str) -> None:
    """Rename a spool file that cannot be sent, and say so."""
    target = path.with_name(f"{path.name}{DAMAGED}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(target)
    log.warning(f"{problem} Its metrics cannot be sent; it is called {target.name} now.")


_OPEN: "weakref.WeakSet[MetricSpool]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Close a forked process's copies, which would hold the locks longer than its parent does."""
    for spool in list(_OPEN):
        if spool._descriptor >= 0:
            os.close(spool._descriptor)
            spool._descriptor = -1


os.register_at_fork(after_in_child=_leave_to_parent)
