"""The true classes of the scan's points, projected to the cameras: a table's upper bound.

nuScenes-lidarseg replaces the foundation model. A pixel gets the class of the nearest point in it;
pixels without a point have no class. Pretraining reads labels at the same pixels, so a pair has the
class of its point, unless a nearer point shares the pixel.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import UInt8

from olivine.core.errors import UserError
from olivine.data.class_names import NUSCENES
from olivine.data.dataset import Frames
from olivine.data.geometry.projection import correspondences
from olivine.data.records import IGNORE, Frame
from olivine.labels.labeller import ImageLabeller, Labeller

if TYPE_CHECKING:
    import torch

CLASS_NAMES = NUSCENES  # a data set must have these


class LidarsegTruth(Labeller):
    """Labels an image by the true classes of the points that it shows; only its name is read."""

    kind: ClassVar[str] = "lidarseg_truth"
    reads_truth: ClassVar[bool] = True
    note: ClassVar[str] = (
        "its labels are the truth: a network that learns from them is an upper bound, not a method."
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The 16 evaluated classes."""
        return CLASS_NAMES

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the reader; raise UserError for a data set without point labels."""
        if frames.class_names != CLASS_NAMES:
            raise UserError(
                f"labels.kind={self.kind} knows the classes of nuScenes-lidarseg, and the data "
                f"set at {frames.root} has {', '.join(frames.class_names)}; choose another kind."
            )
        if len(frames) and frames.frame(0, images=False).class_ids is None:
            raise UserError(
                f"The data set at {frames.root} has no lidarseg labels for "
                f"labels.kind={self.kind}: unpack nuScenes-lidarseg over it, or choose another "
                "kind."
            )
        return _TruthReader(frames)


class _TruthReader:
    def __init__(self, frames: Frames):
        self._frames = frames
        self._position = {name: position for position, name in enumerate(frames.image_names())}

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return true classes where there are points; raise UserError for an image of no frame."""
        return [self._read(name) for name in names]

    def _read(self, name: str) -> np.ndarray:
        if name not in self._position:
            raise UserError(f"{name} is no image of the frames of {self._frames.root}.")
        # A job goes camera by camera, so caching frames for their other cameras would not help.
        index, camera = divmod(self._position[name], len(self._frames.camera_names))
        return true_map(self._frames.frame(index, images=False), camera)


def true_map(frame: Frame, camera: int) -> UInt8[np.ndarray, "rows columns"]:
    """Return the class of the nearest point on each pixel of one camera, IGNORE elsewhere."""
    assert frame.class_ids is not None, "the data set has point labels"
    mine = slice(camera, camera + 1)
    cam_SE3_lidar, size_px = frame.cam_SE3_lidar[mine], frame.image_size_px[mine]
    pairs = correspondences(frame.xyz_m, cam_SE3_lidar, frame.intrinsics_px[mine], size_px)
    depth_m = frame.xyz_m[pairs.point_index] @ cam_SE3_lidar[0, 2, :3]  # up to a constant
    farthest_first = pairs.take(np.argsort(-depth_m, kind="stable"))
    _, row, column = farthest_first.pixel_index.T
    ids = np.full(tuple(size_px[0].tolist()), IGNORE, np.uint8)
    ids[row, column] = frame.class_ids[farthest_first.point_index]  # the last, nearest, stays
    return ids
