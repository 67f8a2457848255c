"""The family of augmentations, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from olivine.core.parts import Part
from olivine.data.records import Sample


class Augmentation(Part):
    """Changes a sample at random, moving points, pixels and pairs together.

    `fixes_images` holds settings with which images are always changed in the same way, if there are
    any.
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
        """How images change: not at all, always in the same way, or at random."""
        return "random"

    @abstractmethod
    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the changed sample; `generator` is the only source of randomness."""
