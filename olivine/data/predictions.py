"""File formats of predicted classes; each data set's benchmark has its own."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from olivine.core.errors import UserError
from olivine.data.records import IGNORE


@runtime_checkable
class NamedFrames(Protocol):
    """What a format needs of a data set's frames: its root and their names."""

    @property
    def root(self) -> str | Path:
        """The data set's folder, or its bucket's URI."""
        ...

    def tokens(self) -> Sequence[str]:
        """Return the token of every frame, which identifies it."""
        ...


@runtime_checkable
class PredictionFormat(Protocol):
    """Writes the class of every point of a scan; a class id is a position in a list of names."""

    kind: str  # name by which a user chooses the format
    class_names: tuple[str, ...]  # classes of the ids that it writes; empty: any vocabulary

    def file_name(self, scan: str) -> str:
        """Return the name of the file of a scan that belongs to no split."""
        ...

    def split_names(self, frames: NamedFrames) -> Sequence[str]:
        """Return the path of each frame's file below one folder, as the benchmark expects it."""
        ...

    def split_files(self, *, uses_images: bool) -> Mapping[str, bytes]:
        """Return the further files that the benchmark expects, as contents by name.

        `uses_images` says whether images took part in training the network.
        """
        ...

    def to_bytes(self, class_ids: np.ndarray) -> bytes:
        """Return the file of a scan, from the uint8 class ids of its points."""
        ...

    def from_bytes(self, data: bytes, source: str) -> np.ndarray:
        """Return the uint8 class ids of a file; a point without a class is IGNORE.

        Raises UserError that names `source` for a file of another format.
        """
        ...


class ArrayPredictions:
    """One NumPy file of uint8 class ids per scan, for any vocabulary."""

    kind = "npy"
    class_names: tuple[str, ...] = ()

    def file_name(self, scan: str) -> str:
        """Return the name of a scan's file."""
        return f"{scan}.npy"

    def split_names(self, frames: NamedFrames) -> Sequence[str]:
        """Return a file for each frame, named by its token."""
        return [f"{token}.npy" for token in frames.tokens()]

    def split_files(self, *, uses_images: bool) -> Mapping[str, bytes]:
        """Return no files; no benchmark reads this format."""
        return {}

    def to_bytes(self, class_ids: np.ndarray) -> bytes:
        """Return the array as a file."""
        stream = io.BytesIO()
        np.save(stream, class_ids.astype(np.uint8), allow_pickle=False)
        return stream.getvalue()

    def from_bytes(self, data: bytes, source: str) -> np.ndarray:
        """Return the array; raise UserError unless it is uint8 with one axis."""
        try:
            class_ids = np.load(io.BytesIO(data), allow_pickle=False)
        except ValueError as error:
            raise UserError(f"{source} cannot be read as an array ({error}).") from None
        if class_ids.dtype != np.uint8 or class_ids.ndim != 1:
            raise UserError(
                f"{source} holds {class_ids.dtype} of shape {class_ids.shape}, and predictions are "
                "uint8 of shape (points,)."
            )
        return class_ids


def ids_of(lookup: Mapping[int, int], written: np.ndarray, source: str) -> np.ndarray:
    """Return the class ids of the numbers in a file; raise UserError for an unknown number."""
    numbers, where = np.unique(written, return_inverse=True)
    unknown = [int(number) for number in numbers if int(number) not in lookup]
    if unknown:
        raise UserError(f"{source} has the class {unknown[0]}, which its format does not.")
    class_ids = np.array([lookup[int(number)] for number in numbers], np.uint8)
    return class_ids[where.reshape(-1)] if len(numbers) else np.zeros(0, np.uint8)


def require_known(class_ids: np.ndarray, num_classes: int) -> None:
    """Assert that every id is a class; a network never predicts IGNORE."""
    assert not len(class_ids) or int(class_ids.max()) < num_classes < IGNORE
