"""The contract of a labeller."""

import pickle
import re
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np

from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.labeller import Labeller
from olivine.testing.frames import InMemoryFrames
from olivine.testing.settings import check_settings, devices, require

NUM_IMAGES = 4


def check_labeller(labeller: Labeller, frames: Frames | None = None) -> None:
    """Check the promises of a labeller, on some images of a data set (None: a small street).

    Its settings can be written and read again. It names its classes, each once, or makes segments
    and names none. Each map has its image's size and ids of the vocabulary, or 255 for none; it
    does not depend on the other images of the batch and is the same every time. The images are not
    changed. Its identity is 12 hex digits that change with the settings and with the code.

    Raises AssertionError for a promise that is broken, and UserError as `build` does.
    """
    check_settings(labeller)
    _check_identity(labeller)
    names = labeller.class_names
    if labeller.makes == "segments":
        require(names == (), labeller, "segments have no names, and class_names is not empty")
    else:
        require(0 < len(names) < IGNORE, labeller, f"it has {len(names)} classes, not 1 to 254")
        require(len(set(names)) == len(names), labeller, "two classes have one name")
    shown: Frames = InMemoryFrames() if frames is None else frames
    chosen = list(shown.image_names())[:NUM_IMAGES]
    images = [shown.read_image(name) for name in chosen]
    before = [image.copy() for image in images]
    for device in devices():
        label = pickle.loads(pickle.dumps(labeller)).build(device, shown)
        together = label(images, chosen)
        _check_maps(labeller, images, together)
        same = all(map(np.array_equal, images, before))
        require(same, labeller, "it changes its images in place")
        again = labeller.build(device, shown)(images, chosen)
        same = all(map(np.array_equal, together, again))
        require(same, labeller, f"built again, on {device}, it gives other maps")
        for image, name, wanted in zip(images, chosen, together, strict=True):
            (alone,) = label([image], [name])
            same = np.array_equal(alone, wanted)
            require(same, labeller, "an image's map depends on the other images of the batch")
        require(label([], []) == [], labeller, "it returns maps for an empty batch")


def _check_maps(
    labeller: Labeller, images: Sequence[np.ndarray], maps: Sequence[np.ndarray]
) -> None:
    require(len(maps) == len(images), labeller, f"{len(maps)} maps for {len(images)} images")
    num_ids = IGNORE if labeller.makes == "segments" else len(labeller.class_names)
    for image, ids in zip(images, maps, strict=True):
        require(ids.dtype == np.uint8, labeller, f"its maps are {ids.dtype}, not uint8")
        wanted, found = image.shape[:2], ids.shape
        require(found == wanted, labeller, f"a map of {found} for an image of {wanted}")
        known = bool(((ids < num_ids) | (ids == IGNORE)).all())
        require(known, labeller, f"a map has the id {ids.max()}, and there are {num_ids}")


def _check_identity(labeller: Labeller) -> None:
    identity = labeller.identity
    is_hash = re.fullmatch(r"[0-9a-f]{12}", identity) is not None
    require(is_hash, labeller, f"its identity {identity!r} is not 12 hex digits")
    require(labeller.identity == identity, labeller, "its identity changes by itself")
    with patch("olivine.core.parts.part_code", return_value="0" * 12):
        changed = labeller.identity
    promise = "its identity does not change with its code: make it by identity_of"
    require(changed != identity, labeller, promise)
