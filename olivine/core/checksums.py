"""Checksums inside the files that this library derives, so that damage is named before it is used.

A file keeps its format, and its usual tools read it. The checksum is xxh3 with 64 bits over the
rest of the file, in 16 hexadecimal digits, and stands where the format has room for a remark:

    zip (.pt, .npz)  the archive's comment, at the end
    PNG              a tEXt chunk with the keyword xxh3_64, behind IHDR
    JSON object      a first member "xxh3_64"
    text             a first line "xxh3_64 <digits>"

So it moves with the file, to any folder or bucket, and is written in the same atomic write. A
*subject* (a frame's token, an image's name) can take part in it without being stored: then the file
of another subject does not pass. A file without a checksum, as versions before 0.3 wrote them, is
read, and a note says so once.
"""

import logging
import os
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from olivine.core.errors import UserError
from olivine.core.storage import Store

ALGORITHM = "xxh3_64"
NUM_DIGITS = 16
DAMAGED = ".damaged"  # ends the name of a damaged file that was renamed

Content = TypeVar("Content")
Piece = bytes | bytearray | memoryview

_NAME = ALGORITHM.encode()
_ZIP_STARTS = b"PK\x03\x04", b"PK\x05\x06"  # of an archive, and of one without files
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22  # of an archive without a comment
_ZIP_MARK = _NAME + b" "
_PNG_START, _PNG_HEAD_BYTES = b"\x89PNG", 33  # the signature and IHDR
_PNG_MARK = b"tEXt" + _NAME + b"\0"
_PNG_DIGITS_AT = _PNG_HEAD_BYTES + 4 + len(_PNG_MARK)  # a chunk begins with its length
_CRC_BYTES = 4  # at the end of a PNG's chunk
_JSON_MARK = b'{"' + _NAME + b'": "'
_TEXT_MARK = _NAME + b" "
_noted: set[str] = set()  # the roots and files of which this process has said the note
log = logging.getLogger("olivine")


class DamagedError(UserError):
    """A file's content is not what was written; the text is a sentence that names the file."""


def digest(subject: str, *pieces: Piece) -> str:
    """Return the checksum of a subject and the content that follows it, as hexadecimal digits."""
    import xxhash  # late: a program that reads no file needs none

    hashed = xxhash.xxh3_64(subject.encode() + b"\0")
    for piece in pieces:
        hashed.update(piece)
    return str(hashed.hexdigest())


def with_checksum(data: Piece, subject: str = "") -> list[Piece]:
    """Return a file's content with its checksum, in pieces, which saves a copy of large files.

    The content decides the format: a zip archive without a comment, a PNG, a JSON object, and text
    for everything else.
    """
    before, after = _around(memoryview(data))
    digits = digest(subject, *before, *after).encode()
    if bytes(before[-1]).endswith(_PNG_MARK):
        digits += zlib.crc32(_PNG_MARK + digits).to_bytes(_CRC_BYTES, "big")
    return [*before, digits, *after]


def has_checksum(data: Piece) -> bool:
    """Return whether a file's content has a checksum, which may be wrong."""
    return _hole(memoryview(data)) is not None


def checked(data: bytes, where: str, subject: str = "", note_of: str = "") -> bytes:
    """Return a file's content as it was given to `with_checksum`; a zip and a PNG keep theirs.

    Raises DamagedError that names `where` if the content or the subject is another. A file without
    a checksum is returned after a note about `note_of`, or about the file, once in a process.
    """
    if not data:
        raise DamagedError(f"{where} is empty.")
    view = memoryview(data)
    hole = _hole(view)
    if hole is None:
        note_missing(where, note_of or where)
        return data
    start, stop = hole
    if view[start : start + NUM_DIGITS] != digest(subject, view[:start], view[stop:]).encode():
        raise DamagedError(f"{where} is damaged: its checksum is not that of its content.")
    if data.startswith(_JSON_MARK):
        return b"{" + data[stop:].removeprefix(b'"').removeprefix(b", ")
    return data[stop + 1 :] if start == len(_TEXT_MARK) else data


def write_checked(store: Store, name: str, data: Piece, subject: str = "") -> None:
    """Write or replace one file of a store, with a checksum in it."""
    store.write(name, *with_checksum(data, subject))


def read_checked(store: Store, name: str, subject: str = "") -> bytes:
    """Return the content of a file that `write_checked` wrote; DamagedError if it is another.

    Raises UserError, too, for a file that cannot be read.
    """
    return checked(store.read(name), store.path(name), subject, note_of=store.root)


def read_cached(
    store: Store,
    name: str,
    parse: Callable[[bytes], Content],
    subject: str = "",
    *,
    remedy: str = "It is made again.",
) -> Content | None:
    """Return what `parse` makes of a cache's file, or None if it must be made (again).

    A file that is damaged, or that `parse` refuses by any error, is renamed, and a warning names
    it and ends with `remedy`. Processes may do so at once: at worst one makes the file once more.
    """
    data = store.read_if_there(name)
    if data is None:
        return None
    where = store.path(name)
    try:
        return parse(checked(data, where, subject, note_of=store.root))
    except DamagedError as error:
        problem = str(error)
    except Exception as error:  # a broken archive raises any of several types
        reason = " ".join(str(error).split()) or type(error).__name__
        problem = f"{where} cannot be used ({reason.rstrip('.')})."
    warnings.warn(f"{problem} {set_aside(store, name)} {remedy}", stacklevel=3)
    return None


def check_file(path: Path) -> None:
    """Raise DamagedError for a local archive whose checksum is not that of its content.

    An archive without one may be another program's: nothing is said about it.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(-min(NUM_DIGITS + len(_ZIP_MARK), path.stat().st_size), os.SEEK_END)
            if stream.read().startswith(_ZIP_MARK):
                checked(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from None


def note_missing(where: str, note_of: str) -> None:
    """Say, once in a process for each `note_of`, that files there have no checksum."""
    if note_of in _noted:
        return
    _noted.add(note_of)
    like = "" if note_of == where else f", and others in {note_of} may have none"
    log.warning(
        f"{where} has no checksum{like}, as files of versions before 0.3: it is used, but damage "
        "cannot be seen."
    )


def set_aside(store: Store, name: str) -> str:
    """Rename a damaged file to `<name>.damaged`, and return the sentence that says so."""
    try:
        store.rename(name, f"{name}{DAMAGED}")
    except UserError as error:
        if store.exists(name):  # otherwise another process has renamed it
            return f"It stays there: {error}"
    return f"It is called {name.rpartition('/')[2]}{DAMAGED} now."


def _around(view: memoryview) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces of a file before its checksum's digits and after them."""
    if bytes(view[:4]) in _ZIP_STARTS:
        assert view[-_ZIP_END_BYTES:-18] == _ZIP_END, "an archive has room for one comment"
        length = len(_ZIP_MARK) + NUM_DIGITS
        return [view[:-2], length.to_bytes(2, "little") + _ZIP_MARK], []
    if view[:4] == _PNG_START:
        length = len(_PNG_MARK) - len(b"tEXt") + NUM_DIGITS
        head, rest = view[:_PNG_HEAD_BYTES], view[_PNG_HEAD_BYTES:]
        return [head, length.to_bytes(4, "big") + _PNG_MARK], [rest]
    text = bytes(view)
    if text.startswith(b"{"):
        is_empty = text[1:].lstrip().startswith(b"}")
        return [_JSON_MARK], [(b'"' if is_empty else b'", ') + text[1:]]
    return [_TEXT_MARK], [b"\n" + text]


def _hole(view: memoryview) -> tuple[int, int] | None:
    """Return where a file's checksum begins and ends, which takes no part in it; or None."""
    if view[-NUM_DIGITS - len(_ZIP_MARK) : -NUM_DIGITS] == _ZIP_MARK:
        return len(view) - NUM_DIGITS, len(view)
    if view[_PNG_DIGITS_AT - len(_PNG_MARK) : _PNG_DIGITS_AT] == _PNG_MARK:
        return _PNG_DIGITS_AT, _PNG_DIGITS_AT + NUM_DIGITS + _CRC_BYTES
    for mark in (_JSON_MARK, _TEXT_MARK):
        if view[: len(mark)] == mark:
            return len(mark), len(mark) + NUM_DIGITS
    return None
