"""Predictions as SemanticKITTI's benchmark and its semantic-kitti-api read them.

    <folder>/sequences/<sequence>/predictions/<number>.label    uint32, the class's id in the files

The benchmark's inverse learning map gives a class the id of the fine class of the same name.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from olivine.core.errors import UserError
from olivine.data.datasets.semantic_kitti.classes import CLASS_NAMES, FINE_CLASSES
from olivine.data.datasets.semantic_kitti.frames import SemanticKittiFrames
from olivine.data.datasets.semantic_kitti.layout import LABEL_BYTES
from olivine.data.predictions import NamedFrames, ids_of, require_known
from olivine.data.records import IGNORE

_NUMBER_OF = {name: number for number, (name, _) in FINE_CLASSES.items()}
LEARNING_MAP_INVERSE = tuple(_NUMBER_OF[name] for name in CLASS_NAMES)  # of ids without the 0


class SemanticKittiPredictions:
    """The files of one split."""

    kind = "semantic_kitti"
    class_names: tuple[str, ...] = CLASS_NAMES

    def file_name(self, scan: str) -> str:
        """Return the name of a scan's file."""
        return f"{scan}.label"

    def split_names(self, frames: NamedFrames) -> Sequence[str]:
        """Return `sequences/<sequence>/predictions/<number>.label` of every scan."""
        if not isinstance(frames, SemanticKittiFrames):
            raise UserError(
                f"{frames.root} is no SemanticKITTI data set, so its scans have no names in "
                "SemanticKITTI's format: choose another one."
            )
        places = (token.partition("-") for token in frames.tokens())
        return [f"sequences/{name}/predictions/{number}.label" for name, _, number in places]

    def split_files(self, *, uses_images: bool) -> Mapping[str, bytes]:
        """Return nothing: the benchmark reads the predictions alone."""
        return {}

    def to_bytes(self, class_ids: np.ndarray) -> bytes:
        """Return uint32 ids of the label files; the upper half, an instance, is 0."""
        require_known(class_ids, len(CLASS_NAMES))
        return np.array(LEARNING_MAP_INVERSE, "<u4")[class_ids].tobytes()

    def from_bytes(self, data: bytes, source: str) -> np.ndarray:
        """Return the class ids; what the benchmark leaves out is IGNORE."""
        if len(data) % LABEL_BYTES:
            raise UserError(f"{source} has {len(data)} bytes, which is not a number of uint32.")
        lookup = {
            number: IGNORE if evaluated is None else CLASS_NAMES.index(evaluated)
            for number, (_, evaluated) in FINE_CLASSES.items()
        }
        return ids_of(lookup, np.frombuffer(data, "<u4") & 0xFFFF, source)
