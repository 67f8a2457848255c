"""Files below one root, on a local disk or in a bucket, written whole or not at all."""

import contextlib
import os
import uuid
from pathlib import Path

from pyarrow import fs

from olivine.errors import UserError


class Store:
    """Named byte strings below a root: a path, `s3://bucket/prefix` or `gs://bucket/prefix`.

    Names are relative, with "/" between folders. A local write goes to a hidden file beside its
    target, is flushed to disk and renamed, so a reader sees the old bytes or the new, never half;
    an object store's upload becomes visible whole by itself.
    """

    def __init__(self, root: str | Path):
        self.root = str(root)
        try:
            if "://" in self.root:
                self._files, self._base = fs.FileSystem.from_uri(self.root)
            else:
                self._files, self._base = fs.LocalFileSystem(), str(Path(root).absolute())
        except (OSError, ValueError) as error:
            raise UserError(f"Cannot open {self.root}: {_one_line(error)}") from None
        self._local = isinstance(self._files, fs.LocalFileSystem)

    def path(self, name: str) -> str:
        """Return where a name lies, to be shown to people."""
        return f"{self.root.rstrip('/')}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Write or replace one file."""
        target = f"{self._base}/{name}"
        try:
            if not self._local:
                with self._files.open_output_stream(target) as stream:
                    stream.write(data)
                return
            _write_local(Path(target), data)
        except OSError as error:
            raise UserError(f"Cannot write {self.path(name)}: {_one_line(error)}") from None

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        try:
            with self._files.open_input_stream(f"{self._base}/{name}", compression=None) as stream:
                return stream.read()
        except OSError as error:
            raise UserError(f"Cannot read {self.path(name)}: {_one_line(error)}") from None

    def exists(self, name: str) -> bool:
        """Say whether a file of that name is there."""
        try:
            return self._files.get_file_info(f"{self._base}/{name}").type == fs.FileType.File
        except OSError as error:
            raise UserError(f"Cannot look up {self.path(name)}: {_one_line(error)}") from None

    def names(self, folder: str = "") -> set[str]:
        """Return every finished file below a folder, by one recursive listing."""
        base = f"{self._base}/{folder}".rstrip("/")
        selector = fs.FileSelector(base, recursive=True, allow_not_found=True)
        skip = len(self._base) + 1
        try:
            found = self._files.get_file_info(selector)
        except OSError as error:
            raise UserError(f"Cannot list {self.path(folder)}: {_one_line(error)}") from None
        return {
            info.path[skip:]
            for info in found
            if info.type == fs.FileType.File and not info.base_name.startswith(".")
        }

    def delete(self, name: str) -> None:
        """Remove one file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_file(f"{self._base}/{name}")


def _write_local(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        with hidden.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        hidden.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
