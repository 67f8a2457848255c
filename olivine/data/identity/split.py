"""What identifies the data of a split: its tables, and names, sizes and contents of its files.

| part | of what | taken into an identity |
|---|---|---|
| tables | the data set's own fingerprint | always |
| scans, images | name and size of each file of the split | where a stage reads them |
| point_labels | name and contents of each file of the split | where a stage reads them |

Scans and images of a trainval are 100 GB, so their contents are not read: a file that is replaced
by another of the same size is seen by `olivine data check --hash` alone. All parts are read afresh
when a stage starts. A copy of a data set, and one whose files were touched, have its identity.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from olivine.core.errors import UserError
from olivine.core.file_stats import FileStat, FolderStats
from olivine.core.hashing import combined_hash, text_hash
from olivine.data.identity.contents import ContentHashes

PARTS = ("scans", "images", "point_labels")
MISSING = "missing"
PARTIAL = (
    " To use the scenes whose files are all there, and no others, set the data set's "
    "allow_partial=true."
)


@dataclass(frozen=True)
class SplitFiles:
    """The files that the frames of a split are read from, as paths below the root.

    Each list is in the order of the frames, with equally many files of each frame; it is empty
    where the data set has no such files. A file may have several frames, or the frames none of
    their own (an archive): then give the files there are, each once.
    """

    scans: Sequence[str] = ()
    images: Sequence[str] = ()
    point_labels: Sequence[str] = ()
    label_tables: Sequence[str] = ()  # files that point labels are read with, of no one frame


@runtime_checkable
class HasSplitFiles(Protocol):
    """Frames that say from which files they are read."""

    def split_files(self) -> SplitFiles:
        """Return the files of the split; names alone, nothing is read."""
        ...


@runtime_checkable
class IdentifiedFrames(Protocol):
    """What is needed of an opened data set."""

    fingerprint: str

    @property
    def root(self) -> str | Path:
        """The data set's folder, or its bucket's URI."""
        ...

    def scenes(self) -> Sequence[str]:
        """Return the scene name of every frame."""
        ...

    def image_names(self) -> Sequence[str]:
        """Return the path of every image of the split below the root, frame by frame."""
        ...


class SplitReader:
    """Reads names, sizes and contents of one split's files, each once.

    `frames` without `split_files` say nothing of their scans and labels; their images are those of
    `image_names` that are files below the root.
    """

    def __init__(
        self, frames: IdentifiedFrames, cache_dir: Path, stats: FolderStats, *, can_be_partial: bool
    ):
        self._frames, self._cache_dir, self._stats = frames, cache_dir, stats
        self._can_be_partial = can_be_partial
        self._found: dict[str, dict[str, FileStat]] = {}  # part -> its files that are there

    @functools.cached_property
    def files(self) -> SplitFiles:
        """The files of the split."""
        if isinstance(self._frames, HasSplitFiles):
            return self._frames.split_files()
        names = self._frames.image_names()
        return SplitFiles(images=names if self._stats.of(names) else ())

    def sizes(self, part: str) -> dict[str, int]:
        """Return the size of each file of a part that is there."""
        return {name: seen.size for name, seen in self._there(part).items()}

    def values(self, part: str) -> dict[str, str]:
        """Return what is taken of each file of a part: size or hash, or that it is missing."""
        names, there = self._names(part), self._there(part)
        if part != "point_labels":
            found = {name: str(seen.size) for name, seen in there.items()}
        else:
            tables = self.files.label_tables
            names = [*names, *tables]
            hashes = ContentHashes(self._stats.root, self._cache_dir)
            found = hashes.of({**there, **self._stats.of(tables)})
        return {name: found.get(name, MISSING) for name in sorted(set(names))}

    def require(self, parts: Sequence[str]) -> None:
        """Raise UserError if a file of these parts is missing, with the number of whole scenes."""
        if not isinstance(self._frames, HasSplitFiles):
            return
        scenes = list(self._frames.scenes())
        lacking, broken, num_files = list[str](), set[str](), 0
        for part in parts:
            names, there = self._names(part), self._there(part)
            num_files += len(names)
            for position, name in enumerate(names):
                if name not in there:
                    lacking.append(name)
                    broken.add(scenes[min(position * len(scenes) // len(names), len(scenes) - 1)])
        if lacking:
            num_scenes = len(set(scenes))
            raise UserError(
                f"{len(lacking)} of the {num_files} files that are read of this split are not "
                f"below {self._frames.root}, the first is {lacking[0]}; {num_scenes - len(broken)} "
                f"of its {num_scenes} scenes are whole. Unpack or copy the rest; `olivine data "
                f"check {self._frames.root}` lists what is missing."
                + (PARTIAL if self._can_be_partial and len(broken) < num_scenes else "")
            )

    def _names(self, part: str) -> Sequence[str]:
        return getattr(self.files, part)

    def _there(self, part: str) -> dict[str, FileStat]:
        if part not in self._found:
            self._found[part] = self._stats.of(self._names(part))
        return self._found[part]


class SplitIdentity:
    """The identity of a split, whose parts are read when they are first asked for.

    A copy that is sent to another process has the parts that were read before it was sent. There it
    is given to the frames that are opened anew (`become`), so the workers of a run list no files,
    and all of them have the identity with which the run began.
    """

    def __init__(
        self,
        tables: str,
        reader: SplitReader | None = None,
        parts: Mapping[str, str] | None = None,
        before_0_3: str = "",
    ):
        self.tables = tables
        self.before_0_3 = before_0_3 or tables  # the fingerprint that versions before 0.3 gave
        self._reader = reader  # None: no files can be read here
        self._parts = dict(parts or {})
        self._given: frozenset[str] = frozenset()  # parts that another process read

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_reader": None}

    def become(self, known: "SplitIdentity") -> None:
        """Take the parts that another process read; only further ones are read here."""
        self.tables, self._parts = known.tables, dict(known._parts)
        self._given = frozenset(self._parts)

    def part(self, name: str) -> str:
        """Return 12 hex digits of a part; "" if the data set does not name its files."""
        if name not in self._parts:
            assert self._reader is not None, f"{name} was not read before this was sent"
            values = self._reader.values(name)
            lines = "\n".join(f"{file}\t{value}" for file, value in values.items())
            self._parts[name] = text_hash(lines) if lines else ""
        return self._parts[name]

    def of(self, *parts: str) -> str:
        """Return 12 hex digits of the tables and these parts; without a part, the tables' own."""
        if not parts:
            return self.tables
        return combined_hash(self.tables, *(f"{name} {self.part(name)}" for name in sorted(parts)))

    @property
    def known_parts(self) -> tuple[str, ...]:
        """The parts read so far."""
        return tuple(self._parts)

    def require(self, *parts: str) -> None:
        """Raise UserError if a file of these parts is missing, unless others have read them."""
        mine = [name for name in parts if name not in self._given]
        if self._reader is not None and mine:
            self._reader.require(mine)

    def files(self, part: str) -> dict[str, str] | None:
        """Return size or hash of a part's files by name; None where others have read them."""
        if self._reader is None or part in self._given:
            return None
        return self._reader.values(part)

    def sizes(self, part: str) -> dict[str, int] | None:
        """Return the size of a part's files that are there; None where others have read them."""
        if self._reader is None or part in self._given:
            return None
        return self._reader.sizes(part)

    def values(self, *parts: str) -> dict[str, str]:
        """Return the tables and these parts by their names."""
        return {"tables": self.tables, **{name: self.part(name) for name in parts}}


def identity_of(frames: Any) -> SplitIdentity:
    """Return the identity of opened frames; of frames that no data set opened, the fingerprint's.

    `frames` is the result of `Dataset.open`, or anything that has a `fingerprint`.
    """
    found = getattr(frames, "identity", None)
    if isinstance(found, SplitIdentity):
        return found
    return SplitIdentity(frames.fingerprint, parts=dict.fromkeys(PARTS, ""))
