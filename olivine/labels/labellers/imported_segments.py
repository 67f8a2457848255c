"""Segment maps that lie in a folder already, such as superpixels made by another program.

    <data root>/samples/CAM_FRONT/<name>.jpg          the image
    <data root>/superpixels/CAM_FRONT/<name>.png      its map: one channel of uint8

Ids are 0 to 254, and 255 belongs to no segment. SLidR names its files by the camera's token
instead; `labellers/slic` makes the same segments anew.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from olivine.data.dataset import Frames
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.labels.labellers.imported import MapFolder, require_source

if TYPE_CHECKING:
    import torch


class ImportedSegments(Labeller):
    """Reads segments from a folder of maps; `source` is their identity (see `imported`)."""

    kind: ClassVar[str] = "imported_segments"
    makes: ClassVar[Literal["classes", "segments"]] = "segments"
    places: ClassVar[frozenset[str]] = frozenset({"folder"})
    source: str = Field(
        default="", description="Whose segments these are, and which version of them."
    )
    folder: str = Field(
        default="superpixels",
        description="Folder of the maps below the data root, or a path or bucket's URI of its own.",
    )
    image_prefix: str = Field(
        default="samples/", description="Start of the images' names that the maps' folder replaces."
    )

    @property
    def identity(self) -> str:
        """The source; raise UserError if it is not named."""
        require_source(self.source)
        return self.identity_of()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Segments have no names."""
        return ()

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the reader; raise UserError if the folder has none of the images' maps."""
        return _SegmentImporter(MapFolder.of(self.folder, self.image_prefix, frames))


class _SegmentImporter:
    def __init__(self, maps: MapFolder):
        self._maps = maps

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return the maps as they are; raise UserError for one that is missing or does not fit."""
        return [
            self._maps.read(name, image.shape[:2])
            for image, name in zip(images, names, strict=True)
        ]
