"""The weak label of each point-pixel pair, from the label maps of its images.

A map has 1.4 million pixels, and a scan has 4,000 pairs in it, the same ones in every epoch. So the
labels are cached beside the maps, one byte per pair, and each map is decoded once. A cached file
has a hash of its frame's pairs and images: another image needs another map, which is looked up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from olivine.core.array_cache import ArrayCache
from olivine.core.hashing import content_hash, text_hash
from olivine.data.images import CameraImage
from olivine.data.records import Correspondences, Frame

# From an image's name and the image to its map.
ReadLabels = Callable[[str, CameraImage], UInt8[np.ndarray, "rows columns"]]

VERSION = 1  # increased when the pairs of a frame, or their order, change


@dataclass(frozen=True)
class PairLabels:
    """Looks up the weak labels of pairs and caches them if it has a cache; picklable."""

    read_labels: ReadLabels
    cache: ArrayCache | None = None

    def __call__(self, frame: Frame, pairs: Correspondences) -> UInt8[np.ndarray, " M"]:
        """Return the class id of each pair of a frame with its images, or IGNORE.

        Raises UserError for a map that is missing or does not fit its image, unless the frame's
        labels are in the cache.
        """
        if self.cache is None:
            return self._look_up(frame, pairs)
        cameras = text_hash("\n".join(frame.image_names), 8)
        return self.cache.of(
            f"{frame.token}-{cameras}-{VERSION}",
            {"classes": len(pairs)},
            lambda: {"classes": self._look_up(frame, pairs)},
            content_hash(
                np.ascontiguousarray(pairs.pixel_index).data,
                *(image.content.encode() for image in frame.images),
            ),
        )["classes"]

    def _look_up(self, frame: Frame, pairs: Correspondences) -> UInt8[np.ndarray, " M"]:
        found = np.empty(len(pairs), np.uint8)
        for camera, (name, image) in enumerate(zip(frame.image_names, frame.images, strict=True)):
            of_camera = pairs.pixel_index[:, 0] == camera
            pixel = pairs.pixel_index[of_camera]
            ids = self.read_labels(name, image)
            found[of_camera] = ids[pixel[:, 1], pixel[:, 2]]
        return found
