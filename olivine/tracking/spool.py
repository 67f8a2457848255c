"""The metric spool: entries of a run on the local disk until the run store has received them.

There is one file per opening of a run. Its first line is the position up to which entries were
received, its second a header about the run; each further line is one entry in JSON. An entry is in
the file when `append` returns, so a killed process loses none; after `sync` it also survives a
crash of the machine. The process that writes or sends a file holds a lock on it. The lock ends with
its process, so a file without a lock was left behind by a process that ended.
"""

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olivine.core.errors import UserError

Entry = dict[str, Any]  # "kind", and the values of that kind

SUFFIX, REFUSED = ".outbox", ".refused"
NUM_DIGITS = 20  # of the first line: the position of the first entry that was not received yet
READ_BYTES = 1 << 16  # read at once, unless an entry is larger
COMPACT_BYTES = 4 << 20  # a larger file whose entries were all received is emptied


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
        head = os.pread(descriptor, READ_BYTES, 0).split(b"\n", 2)
        self.header: dict[str, Any] = json.loads(head[1])
        self._start = len(head[0]) + len(head[1]) + 2
        size = os.fstat(descriptor).st_size
        torn = size - _whole_lines(descriptor, size)  # half a line, from a loss of power
        self._size = size - torn
        self._taken = min(int(head[0]), self._size)
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
            second = json.dumps({**header, "run_id": run_id})
            start = NUM_DIGITS + len(second.encode()) + 2
            os.write(descriptor, f"{start:0{NUM_DIGITS}d}\n{second}\n".encode())
            os.fsync(descriptor)
            hidden.rename(folder / f"{name}{SUFFIX}")
        except OSError as error:
            raise UserError(
                f"Cannot write {hidden}: {error.strerror}. Metrics are kept there until the run "
                "store has received them; set runtime.cache_dir to a local folder."
            ) from None
        return cls(folder / f"{name}{SUFFIX}", descriptor)

    @classmethod
    def adopt(cls, path: Path) -> "MetricSpool | None":
        """Return the spool that an ended process left behind, locked by this process.

        Returns None if its process lives, if another process has adopted it, or if it is gone.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink == 0:  # another process has sent and removed it
            os.close(descriptor)
            return None
        return cls(path, descriptor)

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
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            assert self._descriptor >= 0, "a run that has ended, or its copy in a forked process"
            try:
                written = os.pwrite(self._descriptor, line, self._size)
                while written < len(line):
                    written += os.pwrite(self._descriptor, line[written:], self._size + written)
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
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"kind": "unreadable", "line": line.decode(errors="replace")}
            found.append(Pending(entry, end))
        return found

    def mark_received(self, end: int) -> None:
        """Record that the store has received all entries up to the position `end`."""
        with self._lock:
            if end == self._size and end > COMPACT_BYTES:
                os.ftruncate(self._descriptor, self._start)
                end = self._size = self._start
            os.pwrite(self._descriptor, f"{end:0{NUM_DIGITS}d}".encode(), 0)
            self._taken = end

    def add_file(self, path: Path) -> str:
        """Copy a file that is to be sent; return the name by which `file` finds the copy."""
        return self._keep(path.name, lambda target: shutil.copyfile(path, target))

    def add_text(self, name: str, text: str) -> str:
        """Write a text that is to be sent as a file; return its name for `file`."""
        return self._keep(name, lambda target: target.write_text(text))

    def file(self, name: str) -> Path:
        """Return the path of a file that `add_file` or `add_text` made."""
        return self._folder / name

    def drop_file(self, name: str) -> None:
        """Remove a file that was sent."""
        shutil.rmtree(self.file(name).parent, ignore_errors=True)

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

    def _keep(self, name: str, write: Any) -> str:
        kept = f"{uuid.uuid4().hex[:8]}/{name}"
        target = self.file(kept)
        try:
            target.parent.mkdir(parents=True)
            write(target)
        except OSError as error:
            raise UserError(f"Cannot keep a copy of {name}: {error.strerror}.") from None
        return kept


def left_behind(folder: Path, run_id: str = "*") -> list[Path]:
    """Return a folder's spool files, oldest first, of all runs or of one; some may be in use."""
    return sorted(folder.glob(f"*-{run_id}{SUFFIX}"))


def _whole_lines(descriptor: int, size: int) -> int:
    """Return the position behind the last complete line."""
    end = size
    while end > 0:
        begin = max(0, end - READ_BYTES)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


_OPEN: "weakref.WeakSet[MetricSpool]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Close a forked process's copies, which would hold the locks longer than its parent does."""
    for spool in list(_OPEN):
        if spool._descriptor >= 0:
            os.close(spool._descriptor)
            spool._descriptor = -1


os.register_at_fork(after_in_child=_leave_to_parent)
