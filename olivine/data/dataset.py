"""The family of data sets, and the frames that an opened data set offers."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from olivine.core.file_stats import FolderStats
from olivine.core.hashing import text_hash
from olivine.core.parts import Part, part_code
from olivine.core.storage import PathOrUri, absolute
from olivine.data.identity.split import SplitIdentity, SplitReader
from olivine.data.predictions import ArrayPredictions, PredictionFormat
from olivine.data.records import Frame


@runtime_checkable
class Frames(Protocol):
    """An opened data set: the frames of one split, in a fixed order.

    Frames may have one more method, `split_files()`, by which names, sizes and contents of their
    files take part in the identity of what is made of them (see
    `olivine.data.identity.split.HasSplitFiles`), and `encoded_image(name)`, which saves a label job
    a second reading of each image.
    """

    class_names: tuple[str, ...]  # names of the true classes; ids are positions here
    camera_names: tuple[str, ...]
    fingerprint: (
        str  # of the tables, and of all content that `split_files()` does not name; of no path
    )

    @property
    def root(self) -> str | Path:
        """The data set's folder, or its bucket's URI."""
        ...

    def __len__(self) -> int: ...

    def tokens(self) -> Sequence[str]:
        """Return the token of every frame, which identifies it."""
        ...

    def scenes(self) -> Sequence[str]:
        """Return the scene name of every frame."""
        ...

    def image_names(self) -> Sequence[str]:
        """Return the path of every image of the split below the root, frame by frame."""
        ...

    def read_image(self, name: str) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return one image as RGB; raise UserError that names the file if it cannot be read."""
        ...

    def later(self, index: int, num_keyframes: int) -> int:
        """Return the index of the keyframe `num_keyframes` later in the same scene.

        Near the end of a scene it is the one that many keyframes earlier. Raises UserError for a
        scene that is too short.
        """
        ...

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Return one frame; `images=False` and `classes=False` leave those files unread."""
        ...


@dataclass(frozen=True)
class PluginFrames:
    """Frames read by user code, whose fingerprint also covers that code.

    What is made of them and kept (label maps, superpoints, the teacher's maps) is found by the
    fingerprint, so an edit of the reader never meets what it made before.
    """

    frames: Frames
    fingerprint: str
    identity: SplitIdentity | None = field(default=None, compare=False)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the frames."""
        if name.startswith("__") or name == "frames":  # requested while a copy is being made
            raise AttributeError(name)
        return getattr(self.frames, name)

    def __len__(self) -> int:
        return len(self.frames)


class Dataset(Part):
    """Opens a data set.

    `root` is for an experiment on several data sets that lie in different folders.
    """

    family: ClassVar[str] = "datasets"
    built_in: ClassVar[Mapping[str, str]] = {
        "nuscenes": "olivine.data.datasets.nuscenes:Nuscenes",
        "semantic_kitti": "olivine.data.datasets.semantic_kitti:SemanticKitti",
        "synthetic": "olivine.data.datasets.synthetic:Synthetic",
    }
    places: ClassVar[frozenset[str]] = frozenset({"root"})

    root: PathOrUri = Field(
        default="", description="Folder or bucket of this data set; empty means runtime.data_root."
    )

    def open(self, root: str | Path, cache_dir: Path, stats: FolderStats | None = None) -> Frames:
        """Return the frames at this data set's own root, or at the given root if it names none.

        `cache_dir` is the folder for indices. `stats` are the files below the root as other data
        sets of the same stage found them; without it, they are read when an identity is asked for.
        Raises UserError if the root or the split is not there.
        """
        place, cache = self.place(root), Path(cache_dir).absolute()
        frames = self.open_at(place, cache)
        can_be_partial = not getattr(self, "allow_partial", True)
        stats = stats or FolderStats(frames.root)
        reader = SplitReader(frames, cache, stats, can_be_partial=can_be_partial)
        code, old = part_code(type(self)), getattr(frames, "index_fingerprint", frames.fingerprint)
        if not code:
            identity = SplitIdentity(frames.fingerprint, reader, before_0_3=old)
            frames.identity = identity  # type: ignore[attr-defined] # ours have it
            return frames
        fingerprint = text_hash(f"{frames.fingerprint}/{code}")
        identity = SplitIdentity(fingerprint, reader, before_0_3=text_hash(f"{old}/{code}"))
        return PluginFrames(frames, fingerprint, identity)  # type: ignore[return-value] # it is, by __getattr__

    def place(self, root: str | Path) -> str | Path:
        """Return where the data set lies: at its own root, or at the given one."""
        return absolute(self.root or root)

    @property
    def scene_source(self) -> str:
        """The collection of recordings in which a name means one scene; by default the kind.

        Data sets of one source that have a scene of the same name share it. A class that reads the
        recordings of another class by another kind returns that one's source, and one that reads
        other recordings than its base class a source of its own.
        """
        return self.kind

    def surely_shares(self, other: "Dataset") -> bool:
        """Return whether settings alone tell that it has a scene of another one of its source.

        Neither is empty, and both read the same copy of the recordings.
        """
        return self.fingerprint() == other.fingerprint()

    def prediction_format(self) -> PredictionFormat:
        """Return the file format of predictions that the data set's benchmark reads."""
        return ArrayPredictions()

    @abstractmethod
    def open_at(self, root: str | Path, cache_dir: Path) -> Frames:
        """Return the frames in a folder or at a bucket's URI; both paths are absolute."""
