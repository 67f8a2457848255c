"""Crop, resize and mirror each image; its pairs move along (METHOD §1.4.3 and §1.4.4)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image
from pydantic import Field

from olivine.parts import Augmentation
from olivine.types import Correspondences, Sample


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


class CropImages(Augmentation):
    """Settings: the size of the output, the crop's share of the image and its aspect (W / H).

    A crop is drawn again until it holds over `min_pairs` pairs or over `min_share` of the
    image's own, at most `max_draws` times; then the best of them is taken. With `min_area` 1 the
    whole image is only resized.
    """

    rows_px: int = Field(default=224, ge=1)
    columns_px: int = Field(default=416, ge=1)
    min_area: float = Field(default=0.3, gt=0, le=1)
    aspect: tuple[float, float] = (14 / 9, 17 / 9)
    flip_chance: float = Field(default=0.5, ge=0, le=1)
    min_pairs: int = Field(default=1024, ge=0)
    min_share: float = Field(default=0.75, ge=0, le=1)
    max_draws: int = Field(default=20, ge=1)

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the sample with new images and the pairs that are still in them."""
        if not len(sample.images):  # a view of the scan alone
            return sample
        images, segments, rows, pixels = [], [], [], []
        for camera, image in enumerate(sample.images):
            of_camera = np.flatnonzero(sample.pairs.pixel_index[:, 0] == camera)
            own = sample.pairs.pixel_index[of_camera]
            crop = self._choose(image.shape[:2], own, generator)
            flip = generator.random() < self.flip_chance
            inside = crop.holds(own)
            images.append(self._cut(image, crop, flip, Image.Resampling.BILINEAR))
            if sample.segments is not None:
                ids = sample.segments[camera]
                segments.append(self._cut(ids, crop, flip, Image.Resampling.NEAREST))
            rows.append(of_camera[inside])
            pixels.append(self._moved(own[inside], crop, flip))
        chosen = np.concatenate(rows)
        moved = Correspondences(sample.pairs.point_index[chosen], np.concatenate(pixels))
        changes = {"segments": np.stack(segments)} if segments else {}
        return sample.with_pairs(chosen, pairs=moved, images=np.stack(images), **changes)

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

    def _cut(
        self, image: np.ndarray, crop: Crop, flip: bool, resampling: Image.Resampling
    ) -> np.ndarray:
        box = (crop.left, crop.top, crop.left + crop.columns, crop.top + crop.rows)
        small = Image.fromarray(image).resize((self.columns_px, self.rows_px), resampling, box=box)
        pixels = np.asarray(small)
        return pixels[:, ::-1] if flip else pixels

    def _moved(
        self, pixels: Int[np.ndarray, "M 3"], crop: Crop, flip: bool
    ) -> Int[np.ndarray, "M 3"]:
        row = (pixels[:, 1] - crop.top) * (self.rows_px / crop.rows)
        column = (pixels[:, 2] - crop.left) * (self.columns_px / crop.columns)
        row = np.minimum(row.astype(np.int64), self.rows_px - 1)
        column = np.minimum(column.astype(np.int64), self.columns_px - 1)
        column = self.columns_px - 1 - column if flip else column
        return np.stack([pixels[:, 0], row, column], axis=1)
