"""Arrays that are slow to make and small to keep: one file per frame, made when first asked for.

A second epoch, another worker or another run reads them. Two workers that make the same file write
the same bytes, whole.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from olivine.core.storage import Store

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ArrayCache:
    """Named arrays of frames, in `folder` below the root of `store`; picklable."""

    store: Store
    folder: str

    def of(self, token: str, lengths: Mapping[str, int], make: Callable[[], Arrays]) -> Arrays:
        """Return a frame's arrays.

        They are made (again) where there are none, where the file is damaged, or where an array
        has not the length that this frame asks for.
        """
        name = f"{self.folder}/{token}.npz"
        kept = self._read(name, lengths) if self.store.exists(name) else None
        if kept is None:
            kept = make()
            stream = io.BytesIO()
            np.savez_compressed(stream, **kept)
            self.store.write(name, stream.getvalue())
        return kept

    def _read(self, name: str, lengths: Mapping[str, int]) -> Arrays | None:
        try:
            with np.load(io.BytesIO(self.store.read(name))) as file:
                kept = {key: file[key] for key in lengths}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return kept if all(len(kept[key]) == length for key, length in lengths.items()) else None
