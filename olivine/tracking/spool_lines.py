"""The lines of a spool file: its first one, and those in JSON, each with a checksum."""

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olivine.core.checksums import DamagedError, checked, digest, has_checksum, with_checksum

Entry = dict[str, Any]  # "kind", and the values of that kind

NUM_DIGITS = 20  # of the first line: the position of the first entry that was not received yet
_PIECE_BYTES = 1 << 16


def line_of(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object as a line with a checksum."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return b"".join([*with_checksum(text), b"\n"])


def parsed_line(line: bytes, path: Path, has_checksums: bool) -> dict[str, Any]:
    """Return the JSON object of a line of the file at `path`; an empty one if it is damaged.

    A file of a version before 0.3 has no checksums (`has_checksums`).
    """
    if has_checksums and not has_checksum(line):
        return {}
    try:
        parsed = json.loads(checked(line, str(path)))
    except (DamagedError, ValueError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def first_line(position: int) -> bytes:
    """Return the first line of a file: a position and its checksum, of a fixed length."""
    digits = f"{position:0{NUM_DIGITS}d}"
    return f"{digits} {digest(digits)}".encode()


def position_in(line: bytes, has_checksums: bool) -> int | None:
    """Return the position in a first line, or None if the line is damaged."""
    digits = line[:NUM_DIGITS]
    if digits.isdigit() and (not has_checksums or line == first_line(int(digits))):
        return int(digits)
    return None


def unreadable(line: bytes) -> Entry:
    """Return an entry that stands for a damaged line, which no store accepts."""
    return {"kind": "unreadable", "line": line.decode(errors="replace")}


def write_all(descriptor: int, data: bytes, position: int) -> None:
    """Write all of the data; a disk that is nearly full takes a part of it first."""
    written = 0
    while written < len(data):
        num_bytes = os.pwrite(descriptor, data[written:], position + written)
        if not num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += num_bytes


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder would survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):  # some network drives cannot
        os.fsync(descriptor)
    os.close(descriptor)


def whole_lines(descriptor: int, size: int) -> int:
    """Return the position behind the last complete line."""
    end = size
    while end > 0:
        begin = max(0, end - _PIECE_BYTES)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
