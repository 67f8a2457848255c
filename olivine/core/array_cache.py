"""An array cache on disk: one small file per frame, made when it is first needed.

Later epochs, other workers and other runs read the files. Two workers that make the same file write
the same bytes, and each write is atomic.
"""

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from olivine.core.checksums import read_cached, write_checked
from olivine.core.storage import Store

Arrays = Mapping[str, np.ndarray]
_MADE_OF = "made_of"  # in a file, beside its arrays


@dataclass(frozen=True)
class ArrayCache:
    """A cache of named arrays per frame, in `folder` below the root of `store`; picklable."""

    store: Store
    folder: str

    def of(
        self, token: str, lengths: Mapping[str, int], make: Callable[[], Arrays], made_of: str
    ) -> Arrays:
        """Return a frame's arrays, and make them if they are not in the cache.

        `token` identifies the frame, `lengths` has the expected length of each array, and `make`
        returns the arrays. `made_of` is a hash of everything that they are made of. A file that was
        made of something else is made again; one that is damaged or has an array of another length
        is renamed with a warning first.
        """
        name = f"{self.folder}/{token}.npz"
        parse = functools.partial(_arrays, lengths=lengths, made_of=made_of)
        cached = read_cached(self.store, name, parse, token)
        if cached is None:
            cached = make()
            stream = io.BytesIO()
            np.savez_compressed(stream, **cached, **{_MADE_OF: np.array(made_of)})
            write_checked(self.store, name, stream.getbuffer(), token)
        return cached


def _arrays(data: bytes, lengths: Mapping[str, int], made_of: str) -> Arrays | None:
    """Return the arrays; None if they were made of something else, or before 0.3."""
    with np.load(io.BytesIO(data)) as file:
        if _MADE_OF not in file.files or str(file[_MADE_OF]) != made_of:
            return None
        cached = {key: file[key] for key in lengths}
    for key, length in lengths.items():
        if len(cached[key]) != length:
            raise ValueError(f"{key} has {len(cached[key])} rows, not {length}")
    return cached
