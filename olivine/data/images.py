"""Camera images that are decoded late, because most of their pixels are never used.

A crop of a nuScenes image that becomes 224 x 416 pixels needs half of its rows and columns. A JPEG
can be decoded at a half, a quarter or an eighth of its size for less work, from some of the
coefficients of its transform (libjpeg's scaled decoding).
"""

import functools
import io
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from olivine.core.errors import UserError
from olivine.core.hashing import content_hash

JPEG_FACTORS = (1, 2, 4, 8)  # by which libjpeg can reduce an image


class CameraImage:
    """One image of a camera, RGB."""

    @property
    @abstractmethod
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of the whole image, to which the pixels of pairs refer."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """The memory that the image takes, in bytes."""

    @abstractmethod
    def factor(self, shrink: int = 1) -> int:
        """Return by how much `decode` would reduce each side, without decoding."""

    @abstractmethod
    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the image and the factor by which each side is reduced, at most `shrink`.

        Sides that are no multiple of the factor are rounded up. Raises UserError for a damaged
        image.
        """

    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the image at full size."""
        return np.array(self.decode()[0])

    @functools.cached_property
    def content(self) -> str:
        """16 hexadecimal digits of the image: of its file, or of its pixels if it has none."""
        pixels = np.ascontiguousarray(self.pixels())
        return content_hash(str(pixels.shape).encode(), pixels.data)


@dataclass(frozen=True)
class DecodedImage(CameraImage):
    """An image in memory."""

    array: UInt8[np.ndarray, "rows columns 3"]

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of the array."""
        return self.array.shape[0], self.array.shape[1]

    @property
    def num_bytes(self) -> int:
        """The size of the array."""
        return self.array.nbytes

    def factor(self, shrink: int = 1) -> int:
        """Return 1."""
        return 1

    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the whole image; reducing it would be more work, not less."""
        return Image.fromarray(self.array), 1

    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the array itself."""
        return self.array


@dataclass(frozen=True)
class EncodedImage(CameraImage):
    """The bytes of an image file whose size is known from its calibration.

    For messages, `path` is the file's path and `size_source` the name of the file that states its
    size.
    """

    data: bytes = field(repr=False)
    path: str
    size: tuple[int, int]
    size_source: str

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns by the calibration."""
        return self.size

    @property
    def num_bytes(self) -> int:
        """The size of the file."""
        return len(self.data)

    @functools.cached_property
    def content(self) -> str:
        """16 hexadecimal digits of the file's bytes."""
        return content_hash(self.data)

    def factor(self, shrink: int = 1) -> int:
        """Return the factor that the file's format allows, from its first bytes.

        Raises UserError if they are damaged or the image has another size.
        """
        with self._opened(shrink) as (_, factor):
            return factor

    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the image, a JPEG at 1, 1/2, 1/4 or 1/8 of its sides, and that factor.

        Raises UserError if it is damaged or has another size.
        """
        with self._opened(shrink) as (image, factor):
            image.load()
            return (image if image.mode == "RGB" else image.convert("RGB")), factor

    @contextmanager
    def _opened(self, shrink: int) -> Iterator[tuple[Image.Image, int]]:
        rows, columns = self.size
        try:
            with Image.open(io.BytesIO(self.data)) as image:
                self._check(image.size)
                factor = max(f for f in JPEG_FACTORS if f <= max(1, min(shrink, rows, columns)))
                # None means that it is no JPEG, or too small; it is then decoded in full.
                if factor == 1 or not image.draft(None, (columns // factor, rows // factor)):
                    factor = 1
                yield image, factor
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"The image {self.path} cannot be decoded ({error}); it is damaged or was cut "
                "off: unpack it again."
            ) from None

    def _check(self, found: tuple[int, int]) -> None:
        if found != (self.size[1], self.size[0]):
            raise UserError(
                f"The image {self.path} has {found[0]} x {found[1]} pixels but {self.size_source} "
                f"says {self.size[1]} x {self.size[0]}: it was resized or replaced."
            )
