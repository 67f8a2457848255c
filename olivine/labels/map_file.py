"""The file of a label map: a PNG of one channel, with a text that says of which image it is."""

import io
import struct
import zlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image, PngImagePlugin

from olivine.core.checksums import DamagedError
from olivine.core.errors import UserError
from olivine.data.images import CameraImage, EncodedImage
from olivine.labels.records import image_record

_MADE_OF = "olivine.image"  # key of the text


def encode_map(ids: UInt8[np.ndarray, "rows columns"], made_of: str) -> bytes:
    """Return the file of a map; equal maps of one image give equal bytes."""
    stream, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    if made_of:
        texts.add_text(_MADE_OF, made_of)
    image = Image.fromarray(np.ascontiguousarray(ids))
    image.save(stream, format="PNG", compress_level=6, pnginfo=texts)
    return stream.getvalue()


def record_of(image: CameraImage) -> str:
    """Return the record of an image: the size of its file, 0 without one, and its hash."""
    return image_record(len(image.data) if isinstance(image, EncodedImage) else 0, image.content)


def decode_map(data: bytes, where: str) -> tuple[np.ndarray, str]:
    """Return a map and the record of its image."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            made_of = str(image.info.get(_MADE_OF, ""))
            mode, ids = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error):
        raise DamagedError(f"Label map {where} is not a readable PNG.") from None
    if mode != "L":
        raise UserError(
            f"Label map {where} must have one channel of 8 bits, it has PNG mode {mode}; remove "
            "it and run `olivine label` again."
        )
    return ids, made_of
