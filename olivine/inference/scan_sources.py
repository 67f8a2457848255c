"""Sources of scans that are read one at a time: files, or a split of a data set."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.dataset import Dataset, Frames
from olivine.data.identity.split import identity_of
from olivine.data.scans import SUFFIXES, Scan, read_scan_file, suffix_of

FRACTIONS = ("scene_step", "frame_step")  # settings that leave out frames of a split


@runtime_checkable
class ScanSource(Protocol):
    """Scans, each read on demand."""

    def __len__(self) -> int: ...

    def names(self) -> Sequence[str]:
        """Return the name of every scan, which its result also has."""
        ...

    def stamps(self) -> Sequence[str]:
        """Return a text per scan that differs from that of another scan of the same name."""
        ...

    def read(self, index: int) -> Scan:
        """Return one scan; raise UserError, naming it, if it cannot be used."""
        ...


@dataclass(frozen=True)
class FileScans:
    """Scans in files of their own."""

    paths: tuple[str, ...]

    @classmethod
    def of(cls, given: Sequence[str | Path]) -> "FileScans":
        """Return the scans of files; a folder stands for the scans directly in it, by name.

        Raises UserError for a missing path, a folder without scans, a file of another kind, and two
        files whose results would have one name.
        """
        paths = [path for one in given for path in _files_of(str(one))]
        if not paths:
            raise UserError("No scan was given: name a file or a folder of scans.")
        first: dict[str, str] = {}
        for path in paths:
            twin = first.setdefault(_stem(path), path)
            if twin != path:
                raise UserError(
                    f"{twin} and {path} would leave results of one name, {_stem(path)!r}: give "
                    "each its own folder."
                )
        return cls(tuple(first.values()))

    def __len__(self) -> int:
        return len(self.paths)

    def names(self) -> Sequence[str]:
        """Return every file's name without its suffix."""
        return [_stem(path) for path in self.paths]

    def stamps(self) -> Sequence[str]:
        """Return every file's absolute path; of a local one, its size and time of change too."""
        return [_stamp(path) for path in self.paths]

    def read(self, index: int) -> Scan:
        """Return one scan."""
        return read_scan_file(self.paths[index])


@dataclass(frozen=True)
class SplitScans:
    """The scans of a split of a data set, in its order."""

    frames: Frames

    def __len__(self) -> int:
        return len(self.frames)

    def names(self) -> Sequence[str]:
        """Return the token of every frame."""
        return self.frames.tokens()

    def stamps(self) -> Sequence[str]:
        """Return for every frame the data set's fingerprint and its scan's size, where known."""
        identity, named = identity_of(self.frames), getattr(self.frames, "split_files", None)
        scans, sizes = named().scans if named else (), identity.sizes("scans") or {}
        if len(scans) != len(self.frames):
            return [identity.tables] * len(self.frames)
        return [f"{identity.tables} {sizes.get(name, 0)} 0" for name in scans]

    def read(self, index: int) -> Scan:
        """Return one scan, without its images and labels."""
        frame = self.frames.frame(index, images=False, classes=False)
        return Scan(frame.xyz_m, frame.intensity)


def whole_split(dataset: Dataset, changes: Mapping[str, Any]) -> Dataset:
    """Return a data set with all frames of its split, and `changes` of its settings.

    Raises UserError for an unknown setting or a wrong value.
    """
    whole = {name: 1 for name in FRACTIONS if name in type(dataset).model_fields}
    return dataset.override({**whole, **changes})


def open_split(dataset: Dataset, runtime: Runtime) -> Frames:
    """Return the frames of a data set at the runtime's data root."""
    return dataset.open(runtime.data_path(), runtime.cache_path())


def _files_of(given: str) -> list[str]:
    if is_bucket(given):
        suffix_of(given)
        return [given]
    given = os.path.expanduser(given)
    path = Path(given)
    if path.is_dir():
        files = sorted(str(file) for file in path.iterdir() if file.name.endswith(SUFFIXES))
        if not files:
            raise UserError(f"The folder {given} has no scans, {', '.join(SUFFIXES)}.")
        return files
    if not path.is_file():
        raise UserError(f"There is no scan {given}.")
    suffix_of(given)
    return [given]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(suffix_of(path))


def _stamp(path: str) -> str:
    if is_bucket(path):
        return path
    stat = Path(path).stat()
    return f"{Path(path).absolute()} {stat.st_size} {stat.st_mtime_ns}"
