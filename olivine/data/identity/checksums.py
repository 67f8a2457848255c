"""A manifest of all contents of a data set, in sha256sum's format.

    <64 hexadecimal digits>  <name below the root>

`sha256sum -c` reads what is written here. Of lists that others publish, a third column with the
size in bytes, names that begin with "./" and lines that begin with "#" are read, too.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from olivine.core.errors import UserError
from olivine.core.storage import Store, absolute

_LINE = re.compile(
    r"(?P<hash>[0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(?P<name>.+?)(?:[ \t]{2,}(?P<size>\d+))?"
)
_BLOCK_BYTES = 4 << 20


class Listed(NamedTuple):
    """A file as a manifest has it."""

    sha256: str
    size: int | None  # bytes; None: the manifest does not say


class Difference(NamedTuple):
    """A file that is not as the manifest has it."""

    name: str
    kind: str  # "changed", "missing" or "new"
    detail: str


@dataclass(frozen=True)
class Comparison:
    """A data set against a manifest."""

    num_files: int  # in the manifest
    differences: tuple[Difference, ...]  # missing and changed files, then new ones


Progress = Callable[[int, int], None]


def write_manifest(root: str | Path, path: Path, threads: int, progress: Progress) -> int:
    """Hash every file below a root and write the manifest; return the number of files.

    Hidden files and the manifest itself are left out. Raises UserError for a root without files, a
    file that cannot be read and a manifest that cannot be written.
    """
    store = Store(root)
    names = sorted(_names(store, path))
    if not names:
        raise UserError(f"There are no files below {store.root}.")
    hashes = _hashes(store, names, threads, progress)
    Store(path.absolute().parent).write(
        path.name, "".join(f"{hashes[name]}  {name}\n" for name in names).encode()
    )
    return len(names)


def compare_with_manifest(
    root: str | Path, path: Path, threads: int, progress: Progress
) -> Comparison:
    """Return how the files below a root differ from a manifest.

    A file is new if it is in a folder of which the manifest has files, so a published list of some
    folders calls no other folder new. A file whose size differs is not read. Raises UserError for a
    manifest that cannot be read.
    """
    store, listed = Store(root), read_manifest(path)
    there = _names(store, path)
    sizes = {name: size for name, (size, _) in store.sizes_and_times(recursive=True).items()}
    differences = [
        Difference(name, "missing", "the manifest has it, and it is not there")
        for name in sorted(listed)
        if name not in there
    ]
    wrong = {
        name: f"it has {sizes[name]} bytes, {one.size} by the manifest"
        for name, one in listed.items()
        if name in there and one.size is not None and one.size != sizes[name]
    }
    rest = sorted(name for name in listed if name in there and name not in wrong)
    hashes = _hashes(store, rest, threads, progress)
    wrong |= {
        name: f"its SHA-256 is {hashes[name][:12]}…, {listed[name].sha256[:12]}… by the manifest"
        for name in rest
        if hashes[name] != listed[name].sha256
    }
    differences += [Difference(name, "changed", wrong[name]) for name in sorted(wrong)]
    folders = {name.rpartition("/")[0] for name in listed}
    differences += [
        Difference(name, "new", "the manifest does not have it")
        for name in sorted(there - listed.keys())
        if name.rpartition("/")[0] in folders
    ]
    return Comparison(len(listed), tuple(differences))


def read_manifest(path: Path) -> Mapping[str, Listed]:
    """Return the files of a manifest by their names; raise UserError that names a wrong line."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the manifest {path}: {error}.") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise UserError(
                f"Line {number} of {path} is not one of sha256sum's, 64 hexadecimal digits, two "
                f"spaces and a name: {line[:80]!r}."
            )
        size = match["size"]
        found[match["name"]] = Listed(match["hash"].lower(), None if size is None else int(size))
    if not found:
        raise UserError(f"The manifest {path} names no file.")
    return found


def _names(store: Store, manifest: Path) -> set[str]:
    """Return the files below the root without the manifest."""
    names, root = store.names(), absolute(store.root)
    if isinstance(root, Path) and manifest.absolute().is_relative_to(root):
        names.discard(manifest.absolute().relative_to(root).as_posix())
    return names


def _hashes(store: Store, names: list[str], threads: int, progress: Progress) -> dict[str, str]:
    found: dict[str, str] = {}
    with ThreadPoolExecutor(threads) as pool:
        for name, digest in zip(names, pool.map(lambda n: _digest(store, n), names), strict=True):
            found[name] = digest
            progress(len(found), len(names))
    return found


def _digest(store: Store, name: str) -> str:
    root = absolute(store.root)
    if not isinstance(root, Path):
        return hashlib.sha256(store.read(name)).hexdigest()
    hashed = hashlib.sha256()
    try:
        with (root / name).open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                hashed.update(block)
    except OSError as error:
        raise UserError(f"Cannot read {root / name}: {error.strerror}.") from None
    return hashed.hexdigest()
