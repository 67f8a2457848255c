"""Reads an image of a labelling job, and writes its map or the reason why there is none."""

import numpy as np

from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.records import (
    FailedImage,
    ImageResult,
    LabelledImage,
    ReadImage,
    Usage,
    failure_reason,
)
from olivine.labels.store import LabelStore


def read_image(frames: Frames, name: str) -> ReadImage | FailedImage:
    """Return the image of this name, or why it cannot be read."""
    try:
        return ReadImage(name, frames.read_image(name))
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
                store.write(name, ids)
                if retries:
                    store.forget_failure(name)
    except UserError as error:  # nothing can be written any more, or no map will be right
        return ImageResult(image.name, "fatal", str(error))
    pixels = (*counts[:num_classes].tolist(), int(counts[IGNORE]))
    return ImageResult(name, "done", "", pixels, usage)
