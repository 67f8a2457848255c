"""Turn the scan about the vertical and mirror it (method.md §1.4.1)."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from olivine.data.augmentations.base import Augmentation
from olivine.data.records import Sample


class RotateFlip(Augmentation):
    """Rotates the scan about the vertical axis and mirrors its horizontal axes at random."""

    kind: ClassVar[str] = "rotate_flip"

    rotate: bool = Field(
        default=True,
        description="Whether the scan is rotated by a random angle of the full circle.",
    )
    flip_chance: float = Field(
        default=0.5, description="Probability that each horizontal axis is mirrored."
    )

    @property
    def effect_on_images(self) -> Literal["none"]:
        """It changes points alone."""
        return "none"

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Return the sample with its points moved; pairs keep their pixels."""
        angle = generator.uniform(0, 2 * np.pi) if self.rotate else 0.0
        signs = np.where(generator.random(2) < self.flip_chance, -1.0, 1.0)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        turn[:2] *= signs[:, None]  # turn first, then mirror
        return replace(sample, xyz_m=(sample.xyz_m @ turn.T).astype(np.float32))
