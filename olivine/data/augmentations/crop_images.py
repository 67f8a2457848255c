"""Crop, resize and mirror each image; its pairs move along (method.md §1.4.3 and §1.4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image
from pydantic import Field

from olivine.data.augmentations.base import Augmentation
from olivine.data.images import Picture
from olivine.data.records import Correspondences, Sample


@dataclass(frozen=True)
class Crop:
    """A box of an image, in pixels."""

    top: int
    left: int
    rows: int
    columns: int

    def holds(self, pixels: Int[np.ndarray, "M 3"]) -> Bool[np.ndarray, " M"]:
        """Say which pixels (camera, row, column) lie inside."""
        row, column = pixels[:, 1] - self.top, pixels[:, 2] - self.left
        return (row >= 0) & (row < self.rows) & (column >= 0) & (column < self.columns)

    def on_grid(self, step: int) -> "Crop":
        """Return the box whose place and sides are multiples of a step, at most that smaller."""
        return Crop(
            *(side // step * step for side in (self.top, self.left, self.rows, self.columns))
        )

    def cut_from(self, image: Image.Image, factor: int) -> Image.Image:
        """Return what it shows of an image that is so many times smaller."""
        top, left = self.top // factor, self.left // factor
        return image.crop((left, top, left + self.columns // factor, top + self.rows // factor))


def resized(image: Image.Image, size_px: tuple[int, int]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resize, bilinear and antialiased: by torch, which takes a third of Pillow's time."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    small = F.interpolate(pixels, size_px, mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class Cropped(Picture):
    """What a crop shows of an image, resized; nothing is decoded before its pixels are asked for.

    The crop lies on whole pixels of the image decoded so many times smaller.
    """

    whole: Picture
    crop: Crop
    shrink: int
    size: tuple[int, int]
    flip: bool

    @property
    def size_px(self) -> tuple[int, int]:
        """The output's."""
        return self.size

    @property
    def num_bytes(self) -> int:
        """The output's, decoded."""
        return 3 * self.size[0] * self.size[1]

    def factor(self, shrink: int = 1) -> int:
        """Return 1."""
        return 1

    def decode(self, shrink: int = 1) -> tuple[Image.Image, int]:
        """Return the output as it is."""
        return Image.fromarray(self.pixels()), 1

    def pixels(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """Decode and resize; raise UserError for a damaged image."""
        decoded, factor = self.whole.decode(self.shrink)
        small = resized(self.crop.cut_from(decoded, factor), self.size)
        return small[:, ::-1] if self.flip else small


class CropImages(Augmentation):
    """Crops, resizes and mirrors every image at random; its pairs move along.

    Boxes are drawn as by torchvision's RandomResizedCrop. A box is drawn again until it holds
    more than `min_pairs` pairs or more than `min_share` of the image's pairs, at most
    `max_draws` times; then the best one is taken. JPEGs are decoded at a reduced size where the
    crop still has the output's pixels; the crop then lies on whole pixels of the reduced image,
    so its sides move by less than one pixel of the output.
    """

    kind: ClassVar[str] = "crop_images"

    rows_px: int = Field(default=224, ge=1, description="Height of the output image (px).")
    columns_px: int = Field(default=416, ge=1, description="Width of the output image (px).")
    min_area: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Smallest share of the image's area that a crop has; 1 only resizes the whole "
        "image.",
    )
    aspect: tuple[float, float] = Field(
        default=(14 / 9, 17 / 9),
        description="Smallest and largest aspect ratio of a crop, width over height.",
    )
    flip_chance: float = Field(
        default=0.5, ge=0, le=1, description="Probability that an image is mirrored left to right."
    )
    min_pairs: int = Field(
        default=1024, ge=0, description="Number of pairs above which a crop is accepted."
    )
    min_share: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="Share of the image's pairs above which a crop is accepted.",
    )
    max_draws: int = Field(default=20, ge=1, description="Largest number of crops drawn per image.")
    max_shrink: Literal[1, 2, 4, 8] = Field(
        default=8,
        description="Largest factor by which a JPEG is decoded smaller per side; 1 decodes it in "
        "full.",
    )

    fixes_images: ClassVar[Mapping[str, float]] = {"min_area": 1, "flip_chance": 0}

    @property
    def effect_on_images(self) -> Literal["fixed", "random"]:
        """By chance unless images are whole, and mirrored always or never."""
        return "fixed" if self.min_area == 1 and self.flip_chance in (0, 1) else "random"

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the sample with new images and the pairs that are still in them."""
        if not len(sample.images):  # a view of the scan alone
            return sample
        images, segments, rows, pixels = [], [], [], []
        for camera, image in enumerate(sample.images):
            of_camera = np.flatnonzero(sample.pairs.pixel_index[:, 0] == camera)
            own = sample.pairs.pixel_index[of_camera]
            crop = self._choose(image.size_px, own, generator)
            flip = generator.random() < self.flip_chance
            # Decode no more than the crop shows, and never fewer pixels than it will have.
            most = min(crop.rows // self.rows_px, crop.columns // self.columns_px, self.max_shrink)
            factor = image.factor(max(1, most))
            crop = crop.on_grid(factor)
            inside = crop.holds(own)
            images.append(Cropped(image, crop, factor, (self.rows_px, self.columns_px), flip))
            if sample.segments is not None:
                segments.append(self._segments(sample.segments[camera], crop, flip))
            rows.append(of_camera[inside])
            pixels.append(self._moved(own[inside], crop, flip))
        chosen = np.concatenate(rows)
        moved = Correspondences(sample.pairs.point_index[chosen], np.concatenate(pixels))
        changes = {"segments": np.stack(segments)} if segments else {}
        return sample.with_pairs(chosen, pairs=moved, images=tuple(images), **changes)

    def _choose(
        self,
        size: tuple[int, ...],
        pixels: Int[np.ndarray, "M 3"],
        generator: np.random.Generator,
    ) -> Crop:
        if self.min_area == 1.0:
            return Crop(0, 0, size[0], size[1])
        best, most = self._draw(size, generator), -1
        for draw in range(self.max_draws):
            crop = best if draw == 0 else self._draw(size, generator)
            number = int(crop.holds(pixels).sum())
            if number > most:
                best, most = crop, number
            if number > self.min_pairs or number > self.min_share * len(pixels):
                return crop
        return best

    def _draw(self, size: tuple[int, ...], generator: np.random.Generator) -> Crop:
        """Draw a box of torchvision's RandomResizedCrop: uniform area, log-uniform aspect."""
        height, width = size
        for _ in range(10):
            area = height * width * generator.uniform(self.min_area, 1.0)
            aspect = np.exp(generator.uniform(*np.log(self.aspect)))
            columns, rows = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if columns <= width and rows <= height:
                top = int(generator.integers(height - rows + 1))
                left = int(generator.integers(width - columns + 1))
                return Crop(top, left, rows, columns)
        return Crop(0, 0, height, width)

    def _segments(self, ids: np.ndarray, crop: Crop, flip: bool) -> np.ndarray:
        box = (crop.left, crop.top, crop.left + crop.columns, crop.top + crop.rows)
        size, nearest = (self.columns_px, self.rows_px), Image.Resampling.NEAREST
        small = np.asarray(Image.fromarray(ids).resize(size, nearest, box=box))
        return small[:, ::-1] if flip else small

    def _moved(
        self, pixels: Int[np.ndarray, "M 3"], crop: Crop, flip: bool
    ) -> Int[np.ndarray, "M 3"]:
        row = (pixels[:, 1] - crop.top) * (self.rows_px / crop.rows)
        column = (pixels[:, 2] - crop.left) * (self.columns_px / crop.columns)
        row = np.minimum(row.astype(np.int64), self.rows_px - 1)
        column = np.minimum(column.astype(np.int64), self.columns_px - 1)
        column = self.columns_px - 1 - column if flip else column
        return np.stack([pixels[:, 0], row, column], axis=1)
