"""The weak class of each pair, from the label maps of its images.

A map has 1.4 million pixels and a scan 4,000 pairs in it, the same in every epoch. So they are
kept beside the maps, a byte a pair, and the maps are decoded once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from olivine.core.array_cache import KeptArrays
from olivine.core.hashing import text_hash
from olivine.data.records import Correspondences, Frame, LabelMap

ReadLabels = Callable[[str, tuple[int, int]], LabelMap]

VERSION = 1  # raised when the pairs of a frame, or their order, change


@dataclass(frozen=True)
class PairClasses:
    """Looks classes up, and keeps them if there is a place for it; picklable."""

    read_labels: ReadLabels  # (image's name, rows and columns) -> its map
    kept: KeptArrays | None = None

    def __call__(self, frame: Frame, pairs: Correspondences) -> UInt8[np.ndarray, " M"]:
        """Return the weak class of each pair of a frame that has its images, or IGNORE.

        Raises UserError for a map that is missing or does not fit its image, unless its frame's
        classes were kept before.
        """
        if self.kept is None:
            return self._look_up(frame, pairs)
        cameras = text_hash("\n".join(frame.image_names), 8)
        return self.kept.of(
            f"{frame.token}-{cameras}-{VERSION}",
            {"classes": len(pairs)},
            lambda: {"classes": self._look_up(frame, pairs)},
        )["classes"]

    def _look_up(self, frame: Frame, pairs: Correspondences) -> UInt8[np.ndarray, " M"]:
        found = np.empty(len(pairs), np.uint8)
        for camera, (name, image) in enumerate(zip(frame.image_names, frame.images, strict=True)):
            of_camera = pairs.pixel_index[:, 0] == camera
            pixel = pairs.pixel_index[of_camera]
            labels = self.read_labels(name, image.size_px)
            found[of_camera] = labels.ids[pixel[:, 1], pixel[:, 2]]
        return found
