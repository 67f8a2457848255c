"""An Arrow file with a checksum of every block, which are compared when a column is first used.

The file is mapped, so its blocks stay on the disk until they are needed. Their checksums stand in
the schema's metadata, as `checksums`:

    xxh3_64 <begin of the blocks> <their end> <of all bytes around them> <of each block> ...

The bytes around the blocks (schema, footer) are small and are compared before Arrow reads them;
this text, of which a file has two copies, counts as dashes there. Any reader of Arrow files reads
the file.
"""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from olivine.core.checksums import ALGORITHM, NUM_DIGITS, DamagedError, digest, note_missing

_KEY = "checksums"
_MARK = f"{ALGORITHM} ".encode()
_POSITION_DIGITS = 12
# The checksums in the metadata; what follows them in the file is no digit.
_TEXT = rb"%s\d{%d} \d{%d}( [0-9a-f]{%d})+" % (_MARK, *(_POSITION_DIGITS,) * 2, NUM_DIGITS)
_END, _END_BYTES = b"ARROW1", 10  # a file ends with its footer's length and these letters


class MappedTable:
    """A table whose columns are mapped from a file that `table_file` made.

    `subject` took part in the checksums. A file of a version before 0.3 has none: it is read, and a
    note says so once. Raises DamagedError for any other file, and OSError for one that is missing.
    """

    def __init__(self, path: Path, subject: str):
        self.path = path
        if not path.stat().st_size:  # nothing can be mapped
            raise DamagedError(f"{path} is empty.")
        mapped = pa.memory_map(str(path)).read_buffer()
        checksums = _checked_around(memoryview(mapped), path, subject)
        try:
            self.table = pa.ipc.open_file(mapped).read_all()
            self.table.validate()
            self.metadata: dict[bytes, bytes] = dict(self.table.schema.metadata or {})
            self._blocks = {name: _blocks(self.table[name]) for name in self.table.column_names}
        except Exception:  # of several types, for a file without checksums
            raise DamagedError(f"{path} is damaged: it cannot be read as a table.") from None
        self._known: dict[str, list[str]] = {}  # of the columns that were not used yet
        if checksums is None:
            note_missing(str(path), str(path.parent))
            return
        for name, blocks in self._blocks.items():
            self._known[name], checksums = checksums[: len(blocks)], checksums[len(blocks) :]

    def column(self, name: str) -> Any:
        """Return a column as one Arrow array; raise DamagedError if its content is another."""
        if name in self._known:
            if [digest(name, memoryview(block)) for block in self._blocks[name]] != self._known[
                name
            ]:
                raise DamagedError(
                    f"{self.path} is damaged: the checksum of its column {name} is not that of its "
                    "content."
                )
            del self._known[name]
        column = self.table[name]
        # The file has one batch, or none for a table without rows.
        return column.chunk(0) if column.num_chunks else column.combine_chunks()


def table_file(table: pa.Table, subject: str) -> bytes:
    """Return an Arrow file with checksums, in which `subject` takes part."""
    num_blocks = len(_named_blocks(_written(table, b"")))
    num_digits = 2 * _POSITION_DIGITS + (1 + num_blocks) * NUM_DIGITS + 2 + num_blocks  # and spaces
    dashes = _MARK + b"-" * num_digits
    data = _written(table, dashes)
    base, blocks = pa.py_buffer(data).address, _named_blocks(data)
    places = [(block.address - base, block.size) for _, block in blocks if block.size]
    begin = min((place for place, _ in places), default=0)
    end = max((place + size for place, size in places), default=0)
    view = memoryview(data)
    digests = [digest(subject, view[:begin], view[end:])]
    digests += [digest(name, memoryview(block)) for name, block in blocks]
    positions = [f"{position:0{_POSITION_DIGITS}d}" for position in (begin, end)]
    text = _MARK + " ".join([*positions, *digests]).encode()
    assert len(text) == len(dashes), "filling in the checksums moves nothing"
    around = data[:begin].replace(dashes, text), data[end:].replace(dashes, text)
    return around[0] + data[begin:end] + around[1]


def _written(table: pa.Table, checksums: bytes) -> bytes:
    metadata = {**(table.schema.metadata or {}), _KEY: checksums}
    table = table.replace_schema_metadata(metadata).combine_chunks()  # one batch
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _named_blocks(data: bytes) -> list[tuple[str, pa.Buffer]]:
    table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    return [(name, block) for name in table.column_names for block in _blocks(table[name])]


def _blocks(column: pa.ChunkedArray) -> list[pa.Buffer]:
    """Return the blocks of memory of a column and of its children."""
    return [block for chunk in column.chunks for block in chunk.buffers() if block is not None]


def _checked_around(view: memoryview, path: Path, subject: str) -> list[str] | None:
    """Return the checksums of the blocks after a comparison of all bytes around them.

    Returns None for a file without checksums.
    """
    damaged = f"{path} is damaged: its checksum is not that of its content."
    num_bytes = int.from_bytes(view[-_END_BYTES : -len(_END)], "little")
    if bytes(view[-len(_END) :]) != _END or num_bytes > len(view) - _END_BYTES:
        raise DamagedError(f"{path} is damaged: it is cut, or no Arrow file.")
    footer = bytes(view[-_END_BYTES - num_bytes :])
    place = footer.find(_MARK)
    if place < 0:
        return None
    found = re.match(_TEXT, footer[place:])
    if not found:
        raise DamagedError(damaged)
    text = found.group()
    begin, end, around, *blocks = text.decode().split(" ")[1:]
    dashes = _MARK + b"-" * (len(text) - len(_MARK))
    pieces = [
        bytes(piece).replace(text, dashes) for piece in (view[: int(begin)], view[int(end) :])
    ]
    if digest(subject, *pieces) != around:
        raise DamagedError(damaged)
    return blocks
