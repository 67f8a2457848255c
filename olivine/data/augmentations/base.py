"""The family of augmentations, and what each of them does."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from olivine.core.parts import Part
from olivine.data.records import Sample


class Augmentation(Part):
    """Changes a sample at random, moving points, pixels and pairs together.

    `fixes_images` are settings with which it changes images by no chance, if there are any.
    """

    family: ClassVar[str] = "augmentations"
    built_in: ClassVar[Mapping[str, str]] = {
        "crop_images": "olivine.data.augmentations.crop_images:CropImages",
        "drop_cuboid": "olivine.data.augmentations.drop_cuboid:DropCuboid",
        "rotate_flip": "olivine.data.augmentations.rotate_flip:RotateFlip",
    }
    fixes_images: ClassVar[Mapping[str, float]] = {}

    @property
    def effect_on_images(self) -> Literal["none", "fixed", "random"]:
        """What becomes of an image: nothing, always the same by the image alone, or by chance."""
        return "random"

    @abstractmethod
    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the changed sample."""
