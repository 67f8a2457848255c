"""An array cache on disk: one small file per frame, made when it is first needed.

Later epochs, other workers and other runs read the files. Two workers that make the same file write
the same bytes, and each write is atomic.
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
    """A cache of named arrays per frame, in `folder` below the root of `store`; picklable."""

    store: Store
    folder: str

    def of(self, token: str, lengths: Mapping[str, int], make: Callable[[], Arrays]) -> Arrays:
        """Return a frame's arrays, and make them if they are not in the cache.

        `token` identifies the frame, `lengths` has the expected length of each array, and `make`
        returns the arrays. A file that is damaged or has an array of another length is made again.
        """
        name = f"{self.folder}/{token}.npz"
        cached = self._read(name, lengths) if self.store.exists(name) else None
        if cached is None:
            cached = make()
            stream = io.BytesIO()
            np.savez_compressed(stream, **cached)
            self.store.write(name, stream.getvalue())
        return cached

    def _read(self, name: str, lengths: Mapping[str, int]) -> Arrays | None:
        try:
            with np.load(io.BytesIO(self.store.read(name))) as file:
                cached = {key: file[key] for key in lengths}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return (
            cached if all(len(cached[key]) == length for key, length in lengths.items()) else None
        )
