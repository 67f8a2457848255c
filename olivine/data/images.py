"""Camera images before they are decoded: most of a photograph's pixels are never looked at.

A crop of a nuScenes image that becomes 224 x 416 pixels needs half of its rows and columns, and a
JPEG can be decoded at a half, a quarter or an eighth of its size for less work: the smaller image
is made of the coefficients of the transform (libjpeg's scaled decoding).
"""

import io
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from olivine.core.errors import UserError

JPEG_FACTORS = (1, 2, 4, 8)  # what libjpeg scales by


class Picture:
    """One image of a camera, RGB."""

    @property
    @abstractmethod
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of the whole image, in which pixels of pairs are counted."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """What it takes to keep it."""

    @abstractmethod
    def factor(self, shrink: int = 1) -> int:
        """Return how many times smaller per side `decode` gives it, without decoding it."""

    @abstractmethod
    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the image and how many times smaller it is per side: at most `shrink` times.

        Sides that are no multiple are rounded up. Raises UserError for a damaged image.
        """

    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the image in full."""
        return np.array(self.decode()[0])


@dataclass(frozen=True)
class Pixels(Picture):
    """An image that is decoded already."""

    array: UInt8[np.ndarray, "rows columns 3"]

    @property
    def size_px(self) -> tuple[int, int]:
        """The array's."""
        return self.array.shape[0], self.array.shape[1]

    @property
    def num_bytes(self) -> int:
        """The array's."""
        return self.array.nbytes

    def factor(self, shrink: int = 1) -> int:
        """Return 1."""
        return 1

    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the whole image: shrinking it would be more work, not less."""
        return Image.fromarray(self.array), 1

    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the array itself."""
        return self.array


@dataclass(frozen=True)
class Encoded(Picture):
    """The bytes of an image file, whose size its calibration says.

    `path` and `said_by` are for people: where the file lies, and who says how large it is.
    """

    data: bytes = field(repr=False)
    path: str
    size: tuple[int, int]
    said_by: str

    @property
    def size_px(self) -> tuple[int, int]:
        """What the calibration says."""
        return self.size

    @property
    def num_bytes(self) -> int:
        """The file's."""
        return len(self.data)

    def factor(self, shrink: int = 1) -> int:
        """Return what the file's first bytes allow.

        Raises UserError if they are damaged or the image has another size.
        """
        with self._opened(shrink) as (_, factor):
            return factor

    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the image, a JPEG at 1, 1/2, 1/4 or 1/8 of its sides.

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
                # None: it is no JPEG, or too small, and will be decoded in full.
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
                f"The image {self.path} has {found[0]} x {found[1]} pixels but {self.said_by} says "
                f"{self.size[1]} x {self.size[0]}: it was resized or replaced."
            )
