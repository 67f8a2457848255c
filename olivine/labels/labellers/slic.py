"""SLIC superpixels (Achanta et al., TPAMI 2012): segments of like colour, without a name.

What SLidR pools points and pixels by. The settings are its own: 150 segments, compactness 6,
sigma 3, on the image at full size (method.md §7.1, SLidR; its VoxelNet takes 30 segments).
"""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.labeller import ImageLabeller, Labeller

if TYPE_CHECKING:
    import torch


class Slic(Labeller):
    """Divides every image into about `num_segments` superpixels that cover it."""

    kind: ClassVar[str] = "slic"
    makes: ClassVar[Literal["classes", "segments"]] = "segments"
    num_segments: int = Field(
        default=150,
        ge=1,
        le=IGNORE,
        description="Number of segments asked for; the image decides how many there are.",
    )
    compactness: float = Field(
        default=6.0,
        gt=0,
        description="Weight of the distance between pixels against their colours.",
    )
    sigma_px: float = Field(
        default=3.0,
        ge=0,
        description="Standard deviation (px) of the Gaussian that smooths the image first; 0 "
        "smooths nothing.",
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Segments have no names."""
        return ()

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the labeller; it runs on a CPU wherever it is.

        Raises UserError without scikit-image.
        """
        if importlib.util.find_spec("skimage") is None:
            raise UserError("SLIC needs scikit-image: pip install 'olivine[superpixels]'.")
        return _SlicLabeller(self)


class _SlicLabeller:
    def __init__(self, settings: Slic):
        self._settings = settings

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return segment ids from 0; raise UserError for an image cut into more than 255."""
        return [self._segment(image, name) for image, name in zip(images, names, strict=True)]

    def _segment(self, image: np.ndarray, name: str) -> np.ndarray:
        from skimage.segmentation import slic  # takes half a second to import

        ids = slic(
            image,
            n_segments=self._settings.num_segments,
            compactness=self._settings.compactness,
            sigma=self._settings.sigma_px,
            start_label=0,
        )
        num_segments = int(ids.max()) + 1
        if num_segments > IGNORE:
            raise UserError(
                f"SLIC cuts {name} into {num_segments} segments, and a map holds at most {IGNORE}: "
                f"ask for fewer than num_segments={self._settings.num_segments}."
            )
        return ids.astype(np.uint8)
