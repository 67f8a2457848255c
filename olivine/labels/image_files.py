"""Reads an image of a labelling job, and writes its map or the reason why there is none."""

import numpy as np

from olivine.core.errors import UserError
from olivine.core.hashing import content_hash
from olivine.core.storage import Store
from olivine.data.dataset import Frames
from olivine.data.images import DecodedImage
from olivine.data.records import IGNORE
from olivine.labels.map_file import record_of
from olivine.labels.records import (
    FailedImage,
    ImageResult,
    LabelledImage,
    ReadImage,
    Usage,
    failure_reason,
    image_record,
)
from olivine.labels.store import LabelStore


def read_image(frames: Frames, name: str) -> ReadImage | FailedImage:
    """Return the image of this name, or why it cannot be read."""
    try:
        encoded = getattr(frames, "encoded_image", None)
        if encoded is not None:
            image = encoded(name)
            return ReadImage(name, image.pixels(), record_of(image))
        pixels = frames.read_image(name)
        return ReadImage(name, pixels, _record_of_file(frames, name, pixels))
    except Exception as error:  # whatever a broken file raises concerns this image alone
        return FailedImage(name, failure_reason(error))


def write_image(
    store: LabelStore, image: LabelledImage | FailedImage, usage: Usage | None, retries: bool
) -> ImageResult:
    """Write an image's map, or record why there is none, and return what was done.

    With `retries` a labelled image loses the record of its earlier failure. A store that cannot be
    written gives a "fatal" result.
    """
    try:
        match image:
            case FailedImage(name, reason):
                store.record_failure(name, reason)
                return ImageResult(name, "failed", reason, (), usage)
            case LabelledImage(name, ids):
                num_classes = len(store.class_names)
                counts = np.bincount(ids.ravel(), minlength=IGNORE + 1)
                unnamed = np.flatnonzero(counts[num_classes:IGNORE]) + num_classes
                if store.makes == "classes" and len(unnamed):
                    raise UserError(
                        f"The labeller gave class {unnamed[0]} to pixels of {name}, and it names "
                        f"{num_classes} classes: ids are 0 to {num_classes - 1}, or {IGNORE} for "
                        "none. olivine.testing.check_labeller finds such mistakes before a run."
                    )
                store.write(name, ids, image.made_of)
                if retries:
                    store.forget_failure(name)
    except UserError as error:  # nothing can be written any more, or no map will be right
        return ImageResult(image.name, "fatal", str(error))
    pixels = (*counts[:num_classes].tolist(), int(counts[IGNORE]))
    return ImageResult(name, "done", "", pixels, usage, image.made_of)


def _record_of_file(frames: Frames, name: str, pixels: np.ndarray) -> str:
    """Return the record of an image whose frames give pixels alone; its file is read once more."""
    try:
        data = Store(frames.root).read(name)
    except UserError:  # it is no file of its own
        return record_of(DecodedImage(pixels))
    return image_record(len(data), content_hash(data))
