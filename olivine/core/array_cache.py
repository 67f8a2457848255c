"""An array cache on disk: one small file per frame, made when it is first needed.

Later epochs, other workers and other runs read the files. Two workers that make the same file write
the same bytes, and each write is atomic.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from olivine.core.checksums import read_cached, write_checked
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
        returns the arrays. A file that is damaged or has an array of another length is renamed with
        a warning, and made again.
        """
        name = f"{self.folder}/{token}.npz"
        cached = read_cached(self.store, name, lambda data: _arrays(data, lengths), token)
        if cached is None:
            cached = make()
            stream = io.BytesIO()
            np.savez_compressed(stream, **cached)
            write_checked(self.store, name, stream.getbuffer(), token)
        return cached


def _arrays(data: bytes, lengths: Mapping[str, int]) -> Arrays:
    with np.load(io.BytesIO(data)) as file:
        cached = {key: file[key] for key in lengths}
    for key, length in lengths.items():
        if len(cached[key]) != length:
            raise ValueError(f"{key} has {len(cached[key])} rows, not {length}")
    return cached
