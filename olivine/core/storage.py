"""Files below one root, on a local disk or in a bucket, each written completely or not at all."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from olivine.core.buckets import check_uri, connect, explain_bucket_error, is_bucket
from olivine.core.errors import UserError

_PIECE_BYTES = 8 << 20


def absolute(path: str | Path) -> str | Path:
    """Return a bucket's URI as it is, and a local path or file:// URI as an absolute path."""
    return str(path) if is_bucket(path) else _local_folder(str(path))


def _absolute_text(path: str) -> str:
    return str(absolute(path)) if path else path


# A setting that names a folder or a bucket. It becomes absolute when it is set: a worker may have
# another working directory.
PathOrUri = Annotated[str, AfterValidator(_absolute_text), Field(validate_default=True)]


class Store:
    """Files by name below a root: a path, `s3://bucket/prefix` or `gs://bucket/prefix`.

    Names are relative, with "/" between folders. A local write goes to a hidden file beside its
    target, is flushed to disk and renamed, so a reader sees the old bytes or the new bytes and
    never a mixture; an upload to a bucket becomes visible only when it is complete. A store can be
    sent to another process, which makes its own connection. Every error is a UserError that names
    the file.
    """

    def __init__(self, root: str | Path):
        self.root = str(root)
        if "://" in self.root:
            check_uri(self.root)
        self._local = None if is_bucket(root) else _local_folder(self.root)
        self._connection: tuple[int, Any, str] | None = None  # process, file system, base

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.root,)

    def path(self, name: str) -> str:
        """Return the path or URI of a name, for messages."""
        return f"{self.root.rstrip('/')}/{name}".rstrip("/")

    def write(self, name: str, *pieces: bytes | bytearray | memoryview) -> None:
        """Write or replace one file, by the pieces of its content."""
        with self._user_errors("write", name):
            if self._local is not None:
                _write_local(self._local / name, pieces)
                return
            files, base = self._files()
            with files.open_output_stream(f"{base}/{name}") as stream:
                for piece in pieces:
                    stream.write(piece)

    def read(self, name: str) -> bytes:
        """Return one file's bytes."""
        with self._user_errors("read", name):
            return self._bytes(name)

    def read_if_there(self, name: str) -> bytes | None:
        """Return one file's bytes, or None if there is no file of this name."""
        with self._user_errors("read", name), contextlib.suppress(FileNotFoundError):
            return self._bytes(name)
        return None

    def rename(self, name: str, new_name: str) -> None:
        """Give one file another name and replace the file of that name, if there is one."""
        with self._user_errors("rename", name):
            files, base = self._files()
            files.move(f"{base}/{name}", f"{base}/{new_name}")

    def copy(self, name: str, target: Path) -> None:
        """Copy one file to a local path in pieces; it may be larger than the memory."""
        with self._user_errors("read", name):
            files, base = self._files()
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                files.open_input_stream(f"{base}/{name}", compression=None) as source,
                target.open("wb") as stream,
            ):
                shutil.copyfileobj(source, stream, _PIECE_BYTES)

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        from pyarrow import fs

        with self._user_errors("look up", name):
            files, base = self._files()
            return files.get_file_info(f"{base}/{name}").type == fs.FileType.File

    def names(self, folder: str = "") -> set[str]:
        """Return the names of all complete files below a folder, by one recursive listing."""
        return set(self.sizes_and_times(folder, recursive=True))

    def sizes_and_times(
        self, folder: str = "", *, recursive: bool = False
    ) -> dict[str, tuple[int, int]]:
        """Return size in bytes and time of change in nanoseconds of a folder's complete files.

        `recursive` includes the files of all folders below it.
        """
        from pyarrow import fs

        return {
            name: (info.size, info.mtime_ns)
            for name, info in self._listing(folder, recursive)
            if info.type == fs.FileType.File and not info.base_name.startswith(".")
        }

    def folders(self, folder: str = "") -> set[str]:
        """Return the names of the folders directly in a folder."""
        from pyarrow import fs

        listing = self._listing(folder, False)
        return {name for name, info in listing if info.type == fs.FileType.Directory}

    def delete(self, name: str) -> None:
        """Remove one file, if it is there."""
        with self._user_errors("delete", name), contextlib.suppress(FileNotFoundError):
            files, base = self._files()
            files.delete_file(f"{base}/{name}")

    def _bytes(self, name: str) -> bytes:
        if self._local is not None:
            return (self._local / name).read_bytes()
        files, base = self._files()
        with files.open_input_file(f"{base}/{name}") as stream:  # one request for all bytes
            return stream.read()

    def _listing(self, folder: str, recursive: bool) -> list[tuple[str, Any]]:
        from pyarrow import fs

        with self._user_errors("list", folder):
            files, base = self._files()
            path = f"{base}/{folder}".rstrip("/")
            selector = fs.FileSelector(path, recursive=recursive, allow_not_found=True)
            return [(info.path[len(base) + 1 :], info) for info in files.get_file_info(selector)]

    def _files(self) -> tuple[Any, str]:
        """Return the file system and the path of the root in it, connected by this process.

        A forked loader process must not share its parent's connections.
        """
        from pyarrow import fs

        if self._connection is None or self._connection[0] != os.getpid():
            if self._local is not None:
                files, base = fs.LocalFileSystem(), str(self._local)
            else:
                files, base = connect(self.root)
            self._connection = (os.getpid(), files, base)
        return self._connection[1:]

    @contextlib.contextmanager
    def _user_errors(self, action: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                reason = "No such file or directory"
            elif self._local is None:
                reason = explain_bucket_error(error, self.root)
            else:
                reason = error.strerror or " ".join(str(error).split())
            raise UserError(f"Cannot {action} {self.path(name)}: {reason}.") from None


def _local_folder(root: str) -> Path:
    from pyarrow import fs

    if not root.startswith("file://"):
        try:
            return Path(root).expanduser().absolute()
        except RuntimeError:
            raise UserError(
                f"{root!r} begins with the home folder of a user who is not known here: write the "
                "path in full."
            ) from None
    return Path(fs.FileSystem.from_uri(root)[1])


def _write_local(target: Path, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        with hidden.open("wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        hidden.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise
