"""The JSON tables of nuScenes, read in pieces into typed rows."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from olivine.core.errors import UserError
from olivine.core.progress import Progress

LIDAR = "LIDAR_TOP"
CAMERAS = (  # SLidR's order: clockwise from the front
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)

_PIECE_BYTES = 32 << 20
_BETWEEN_ROWS = re.compile(rb"\}\s*,\s*\{")

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # w, x, y, z


class TableRow(msgspec.Struct, gc=False):
    """The field that rows of every table have; fields that a row type does not name are skipped."""

    token: str


RowT = TypeVar("RowT", bound=TableRow)


class SensorRow(TableRow):
    """A channel of the rig."""

    channel: str
    modality: str


class CalibratedSensorRow(TableRow):
    """A sensor's pose in the ego frame, and a camera's pinhole matrix ([] for others)."""

    sensor_token: str
    translation: Vector
    rotation: Quaternion
    camera_intrinsic: list[Vector]


class EgoPoseRow(TableRow):
    """The vehicle's pose in the world when a sensor was triggered."""

    translation: Vector
    rotation: Quaternion


class SceneRow(TableRow):
    """Twenty seconds of driving."""

    name: str
    first_sample_token: str


class SampleRow(TableRow):
    """A keyframe of all sensors; `timestamp` in microseconds is the end of the LiDAR's scan."""

    timestamp: int
    next: str


class SampleDataRow(TableRow):
    """One file of one sensor; width and height are in pixels, 0 for LiDAR and radar."""

    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    is_key_frame: bool
    height: int
    width: int
    filename: str


class LidarsegRow(TableRow):
    """The label file of one LiDAR keyframe."""

    sample_data_token: str
    filename: str


class CategoryRow(TableRow):
    """A fine class; only the lidarseg release gives it an index."""

    name: str
    index: int | None = None


def read_rows(folder: Path, table: str, row_type: type[RowT]) -> Iterator[RowT]:
    """Yield the rows of one table in file order, with one piece of the file in memory at a time.

    Raises UserError if the file is missing, is not JSON, or a row lacks a field.
    """
    path = folder / f"{table}.json"
    num_yielded = 0
    try:
        num_mb = path.stat().st_size >> 20
        progress = Progress(f"Reading {path.name}", "MB")
        with path.open("rb") as stream:
            for piece in _pieces(stream):
                progress(stream.tell() >> 20, num_mb)
                # mypy does not accept a list of a type that is a variable
                for row in msgspec.json.decode(piece, type=list[row_type]):  # type: ignore[valid-type]
                    yield row
                    num_yielded += 1
        return
    except OSError as error:
        raise UserError(_missing(path, error)) from None
    except msgspec.DecodeError:
        pass
    # The file is damaged, or a text in it looked like the end of a row: it is read whole.
    yield from _decode_whole(path, row_type)[num_yielded:]


def by_token(folder: Path, table: str, row_type: type[RowT]) -> dict[str, RowT]:
    """Return the rows of one table by their tokens."""
    return {row.token: row for row in read_rows(folder, table, row_type)}


def _decode_whole(path: Path, row_type: type[RowT]) -> list[RowT]:
    try:
        # mypy does not accept a list of a type that is a variable
        return msgspec.json.decode(path.read_bytes(), type=list[row_type])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise UserError(f"{path} is not a nuScenes table: {error}.") from None
    except msgspec.DecodeError as error:
        raise UserError(
            f"{path} is broken JSON ({error}); it was perhaps cut off while copying: "
            "unpack it again."
        ) from None


def _missing(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"The table {path} is missing; a nuScenes version folder holds all of its tables: "
            "unpack the metadata archive again."
        )
    return f"Cannot read the table {path}: {error.strerror}."


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Split a JSON list of objects between rows into shorter JSON lists.

    A wrong split, at a text that looks like the end of a row, leaves invalid JSON on both sides and
    never yields other rows.
    """
    head, tail = b"", b""
    while block := stream.read(_PIECE_BYTES):
        tail += block
        cut = _last_row_end(tail)
        if cut:
            yield head + tail[:cut] + b"]"
            head, tail = b"[", tail[tail.index(b"{", cut) :]
    yield head + tail


def _last_row_end(text: bytes) -> int:
    """Return the position after the last row that another row follows, or 0."""
    brace = text.rfind(b"}")
    while brace >= 0:
        if _BETWEEN_ROWS.match(text, brace):
            return brace + 1
        brace = text.rfind(b"}", 0, brace)
    return 0
