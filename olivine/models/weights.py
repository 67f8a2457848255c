"""Published weights: their source, their local copies and the check of these copies.

Every file is identified by its SHA-256 (`weights.csv`), so a label's identity is the same wherever
the weights are, and a wrong file is found before it labels anything. A machine without a network
needs nothing but the folder.
"""

import csv
import hashlib
import os
import pickle
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from olivine.core.checksums import check_file
from olivine.core.errors import UserError, nearest
from olivine.core.progress import Report
from olivine.core.storage import absolute

MANIFEST = Path(__file__).with_name("weights.csv")
ENVIRONMENT = "OLIVINE_WEIGHTS"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WeightFile:
    """One published file."""

    name: str  # relative to the folder of weights
    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Weights:
    """The weights of one model: a file, or a folder of files."""

    name: str
    files: tuple[WeightFile, ...]
    licence: str

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """The file's hash; of a folder, the hash of its files' hashes."""
        hashes = [file.sha256 for file in self.files]
        return _join(hashes)

    def path(self, folder: Path) -> Path:
        """Return the file, or the folder of the files, below the folder of weights."""
        first = folder / self.files[0].name
        return first if len(self.files) == 1 else first.parent


@cache
def published() -> Mapping[str, Weights]:
    """Return all weights in the manifest by name."""
    files: dict[str, list[WeightFile]] = {}
    licences = {}
    with MANIFEST.open(newline="") as rows:
        for row in csv.DictReader(rows):
            file = WeightFile(row["file"], row["url"], int(row["size_bytes"]), row["sha256"])
            files.setdefault(row["name"], []).append(file)
            licences[row["name"]] = row["licence"]
    return {name: Weights(name, tuple(some), licences[name]) for name, some in files.items()}


def weights_folder(given: str = "") -> Path:
    """Return the folder of weights: `given`, else $OLIVINE_WEIGHTS, else in the user's cache."""
    folder = given or os.environ.get(ENVIRONMENT, "")
    return (
        Path(folder).expanduser().absolute()
        if folder
        else Path.home() / ".cache" / "olivine" / "weights"
    )


def _absolute_unless_published(text: str) -> str:
    """Return a path as an absolute one, and a published name or an unknown word as it is."""
    if not text or ("/" not in text and (text in published() or not Path(text).exists())):
        return text
    return str(absolute(text))


# A setting that names published weights, a file or a folder. A path becomes absolute when it is
# set: a worker may have another working directory.
WeightsName = Annotated[str, AfterValidator(_absolute_unless_published)]


def find(name: str) -> Weights:
    """Return published weights by name; raise UserError that suggests the nearest name."""
    if name not in published():
        raise UserError(
            f"No weights {name!r}.{nearest(name, published())} There are "
            f"{', '.join(published())}; see `olivine weights list`."
        )
    return published()[name]


def locate(name: str) -> Path:
    """Return the path of weights: of published ones by name, of other ones by their own path.

    Raises UserError for a name that is neither, and for a file that is missing or of another size,
    with the command that fetches it.
    """
    if name not in published():
        path = Path(name).expanduser().absolute()
        if not path.exists():
            raise UserError(
                f"No weights {name!r}: neither a file or folder, nor one of "
                f"{', '.join(published())}.{nearest(name, published())}"
            )
        return path
    weights, folder = published()[name], weights_folder()
    for file in weights.files:
        problem = _glance(file, folder)
        if problem:
            raise UserError(f"{problem}; {_advice(name, folder)}")
    return weights.path(folder)


def weights_identity(name: str) -> str:
    """Return the SHA-256 that identifies weights; published ones are not read for it.

    Raises UserError if a file with a path of its own is not there.
    """
    if name in published():
        return published()[name].sha256
    path = locate(name)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    hashes = [_hash_of(str(file), *_stamp(file)) for file in files if file.is_file()]
    return _join(hashes)


def verify(name: str) -> Path:
    """Return the path of weights after every file of published ones is read and hashed.

    Raises UserError for a file that is missing or has another hash.
    """
    path = locate(name)
    for problem in problems(published()[name], weights_folder()) if name in published() else ():
        raise UserError(f"{problem}; {_advice(name, weights_folder())}")
    return path


def problems(weights: Weights, folder: Path, *, read: bool = True) -> Iterator[str]:
    """Yield the faults of a copy; `read=False` checks names and sizes alone."""
    for file in weights.files:
        path = folder / file.name
        problem = _glance(file, folder)
        if problem:
            yield problem
        elif read and _hash_of(str(path), *_stamp(path)) != file.sha256:
            yield f"{path} is another file than published: its SHA-256 differs"


def fetch(weights: Weights, folder: Path, report: Report | None = None) -> None:
    """Download the files that are missing or wrong, and continue where an earlier try stopped.

    A file gets its name only when its hash is right. Raises UserError for an error of the network
    or the disk, and if the server's file is another.
    """
    for file in weights.files:
        path = folder / file.name
        if not _glance(file, folder) and _hash_of(str(path), *_stamp(path)) == file.sha256:
            continue
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(file, partial, report)
            found = _hash_of(str(partial), *_stamp(partial))
            if found != file.sha256:
                partial.unlink()
                raise UserError(
                    f"{file.url} gave another file than published (SHA-256 {found[:12]}…, not "
                    f"{file.sha256[:12]}…); nothing was kept. Try again, or copy the file to "
                    f"{path} yourself."
                )
            partial.replace(path)
        except OSError as error:
            raise UserError(
                f"Cannot fetch {file.url}: {error}. What has come is kept; the same command goes "
                f"on. On a machine without a network copy the file to {path}."
            ) from None


def read_state(path: Path) -> dict[str, Any]:
    """Return the tensors of a .pth file; code in the file is never run.

    Raises UserError for another kind of file, for one that holds more than tensors, and for one of
    this library's own whose checksum is not that of its content.
    """
    import torch

    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError):  # some advise unsafe ways
        raise UserError(
            f"{path} is not a file of weights that can be read without running code from it: "
            "torch.save must have written it with tensors and plain values alone. It may be "
            "damaged or of another kind."
        ) from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not named weights.")
    return state


def load_into(module: Any, state: Mapping[str, Any], path: Path, architecture: str) -> None:
    """Load weights into a module, all of them or none.

    `architecture` names the expected network. Raises UserError if names or shapes are those of
    another one.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    if missing or unexpected or shapes:
        facts = [
            f"{len(keys)} {what} (such as {keys[0]})"
            for keys, what in (
                (missing, "are missing"),
                (unexpected, "are not known"),
                (shapes, "have another shape"),
            )
            if keys
        ]
        raise UserError(
            f"{path} does not hold weights of {architecture}: of {len(own)} tensors "
            f"{', '.join(facts)}. Name the architecture it was made with."
        )
    module.load_state_dict(state)


def _download(file: WeightFile, partial: Path, report: Report | None) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if have >= file.size_bytes:
        partial.unlink()
        have = 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        going_on = have and answer.status == 206  # a server may ignore the range
        with partial.open("ab" if going_on else "wb") as stream:
            num_bytes = have if going_on else 0
            while chunk := answer.read(_CHUNK_BYTES):
                stream.write(chunk)
                num_bytes += len(chunk)
                if report:
                    report(num_bytes, max(file.size_bytes, num_bytes))
    if num_bytes < file.size_bytes:
        raise urllib.error.URLError("the connection ended early")


def _glance(file: WeightFile, folder: Path) -> str:
    """Return the fault of a file by its name and size alone, or an empty text."""
    path = folder / file.name
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    return "" if size == file.size_bytes else f"{path} has {size} bytes, not {file.size_bytes}"


def _advice(name: str, folder: Path) -> str:
    return (
        f"run `olivine weights fetch {name} --folder {folder}`, or set ${ENVIRONMENT} to the "
        "folder that has it."
    )


def _join(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns


@lru_cache(maxsize=256)
def _hash_of(path: str, _size: int, _time: int) -> str:
    """Return a file's SHA-256; it is read once while its size and time stay."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
