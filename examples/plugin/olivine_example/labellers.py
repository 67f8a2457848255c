"""Weak labels without a model: bands of hue, and a class for pixels of little colour."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from olivine.labels.labeller import Labeller
from pydantic import Field

HUES = ("red", "green", "blue")


class Bands(Labeller):
    """Settings: by how much the strongest colour must exceed the weakest to count as a hue."""

    kind: ClassVar[str] = "bands"

    min_spread: int = Field(default=40, ge=0, le=255, description="In levels of 0 to 255.")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The vocabulary; ids are positions here."""
        return (*HUES, "grey")

    def build(self, device: Any, frames: Any) -> "Bands":
        """Return itself, because there is no model to load."""
        return self

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Return one map of ids per image, of the image's size."""
        return [self._label(image.astype(int)) for image in images]

    def _label(self, image: np.ndarray) -> np.ndarray:
        ids = image.argmax(axis=2).astype(np.uint8)
        ids[np.ptp(image, axis=2) < self.min_spread] = len(HUES)
        return ids
