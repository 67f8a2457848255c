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


@dataclass(frozen=True)
class LabelledImage:
    """The map that a labeller made of an image, of the image's size."""

    name: str
    ids: UInt8[np.ndarray, "rows columns"]


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


def failure_reason(error: BaseException) -> str:
    """Return an error as one line, with its type unless it is a UserError."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
