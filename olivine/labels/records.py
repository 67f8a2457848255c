"""The records of one image in a labelling job: read, labelled, failed and written."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from olivine.core.errors import UserError


@dataclass(frozen=True)
class ReadImage:
    """An image that was read and decoded."""

    name: str
    pixels: UInt8[np.ndarray, "rows columns 3"]  # RGB
    made_of: str = ""  # size and hash of the image; see `image_record`


@dataclass(frozen=True)
class LabelledImage:
    """The map that a labeller made of an image, of the image's size."""

    name: str
    ids: UInt8[np.ndarray, "rows columns"]
    made_of: str = ""  # as of the image that was read


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be read or labelled."""

    name: str
    reason: str  # one line


@dataclass(frozen=True)
class Usage:
    """What one actor has used so far."""

    actor: str
    held_s: float  # since it began to load the labeller
    busy_s: float  # of that, in the labeller
    num_gpus: float  # that it holds


@dataclass(frozen=True)
class ImageResult:
    """The result of one image; it is small, because a driver receives one for every image."""

    image_name: str
    status: Literal["done", "failed", "fatal"]
    reason: str = ""  # of a failure; a fatal one (a full disk) stops the job
    class_pixels: tuple[int, ...] = ()  # pixels of each named class, then pixels of none
    usage: Usage | None = None  # of the actor that labelled it
    made_of: str = ""  # size and hash of the labelled image


def image_record(num_bytes: int, content: str) -> str:
    """Return what a map keeps of its image: the size of its file (0: no file) and a hash."""
    return f"{num_bytes} {content}"


def recorded_size(record: str) -> int:
    """Return the size in a record; 0 if it is not known."""
    size = record.partition(" ")[0]
    return int(size) if size.isdigit() else 0


def failure_reason(error: BaseException) -> str:
    """Return an error as one line, with its type unless it is a UserError."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
