"""One image on its way: read, and its map written, or the reason why there is none."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.records import IGNORE
from olivine.labels.batches import Usage, reason_of
from olivine.labels.store import LabelStore


@dataclass(frozen=True)
class Outcome:
    """What became of one image; small enough for the driver to hold one at a time."""

    image_name: str
    status: Literal["done", "failed", "fatal"]
    reason: str = ""  # of a failure; a fatal one (a full disk) stops the job
    class_pixels: tuple[int, ...] = ()  # pixels of every class, if they have names, and of none
    usage: Usage | None = None  # of the actor that labelled it, so far


def read_image(frames: Frames, name: str) -> UInt8[np.ndarray, "rows columns 3"] | str:
    """Return an image, or why it cannot be read."""
    try:
        return frames.read_image(name)
    except Exception as error:  # whatever a broken file raises, it is this image's alone
        return reason_of(error)


def write_labels(
    store: LabelStore, name: str, ids: np.ndarray | str, usage: Usage | None, retries: bool
) -> Outcome:
    """Write one map, or record why there is none; a retried one loses its record of failure."""
    try:
        if isinstance(ids, str):
            store.record_failure(name, ids)
            return Outcome(name, "failed", ids, (), usage)
        num_classes = len(store.class_names)
        counts = np.bincount(ids.ravel(), minlength=IGNORE + 1)
        unnamed = store.makes == "classes" and counts[num_classes:IGNORE].any()
        assert not unnamed, "the labeller used a class it does not name"
        store.write(name, ids)
        if retries:
            store.forget_failure(name)
    except UserError as error:  # nothing can be written any more
        return Outcome(name, "fatal", str(error))
    pixels = (*counts[:num_classes].tolist(), int(counts[IGNORE]))
    return Outcome(name, "done", "", pixels, usage)
