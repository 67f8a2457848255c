"""The families of parts that read and change data, and the one thing each of them does.

Families with networks are in `olivine.network_parts`: reading must not wait for torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from olivine.spec import Part
from olivine.types import Frame, Sample


@runtime_checkable
class Frames(Protocol):
    """An opened data set: the frames of one split, in a fixed order."""

    class_names: tuple[str, ...]  # names of the true classes; ids are positions here
    camera_names: tuple[str, ...]
    fingerprint: str  # of the data set's content, the same wherever it lies

    @property
    def root(self) -> str | Path:
        """Where the data set lies: a folder, or a bucket's URI."""
        ...

    def __len__(self) -> int: ...

    def tokens(self) -> Sequence[str]:
        """Return the identity of every frame."""
        ...

    def image_names(self) -> Sequence[str]:
        """Return every image of the split, as paths below the root, frame by frame."""
        ...

    def read_image(self, name: str) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return one image as RGB; raise UserError naming the file if it cannot be read."""
        ...

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Read one frame; `images=False` and `classes=False` skip what is not needed."""
        ...


class Dataset(Part):
    """Opens a data set."""

    family: ClassVar[str] = "datasets"

    def open(self, root: str | Path, cache_dir: Path) -> Frames:
        """Return the frames in a folder or at a bucket's URI.

        Raises UserError if the root or the split is not there.
        """
        raise NotImplementedError


class Augmentation(Part):
    """Changes a sample at random, moving points, pixels and pairs together."""

    family: ClassVar[str] = "augmentations"

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the changed sample."""
        raise NotImplementedError
