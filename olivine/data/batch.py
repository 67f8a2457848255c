"""The records that networks take and give: `olivine.types` once it has become tensors.

They live apart, so that reading a data set does not wait for torch to be imported. Shapes: N points
of a batch, M point-pixel pairs, V voxels, D channels, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Voxels:
    """Occupied cells of a batch of scans and the way back to their points."""

    coordinates: Int[Tensor, "V 4"]  # frame in the batch, then the three cell indices
    features: Float[Tensor, "V channels"]  # of the point each cell kept
    voxel_of_point: Int[Tensor, " N"]  # row of each point of the batch; -1: none
    kept_point: Int[Tensor, " V"]  # the point whose feature and label the cell has
    points: Float[Tensor, "N 4"] | None = None  # x, y, z in metres and intensity of every point

    def to(self, device: torch.device) -> "Voxels":
        """Move every tensor."""
        return _changed(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class PairTable:
    """All pairs of a batch: positions and what a sampler may weigh, but no features.

    A point's partner is a pixel, itself in the scan's second view, or its superpoint in a later
    scan.
    """

    voxel_index: Int[Tensor, " M"]
    pixel_index: Int[Tensor, "M 3"] | None  # image in the batch, row, column
    class_ids: Int[Tensor, " M"]  # weak class, or IGNORE
    range_m: Float[Tensor, " M"]
    frame_index: Int[Tensor, " M"]  # frame in the batch
    view_index: Int[Tensor, " M"] | None = None  # voxel of the second view
    cluster_ids: Int[Tensor, " M"] | None = None  # superpoint over time, unique in the batch

    def __len__(self) -> int:
        return len(self.voxel_index)

    def take(self, chosen: Tensor) -> "PairTable":
        """Keep the pairs of an index or a mask."""
        kept = {name: value[chosen] for name, value in vars(self).items() if value is not None}
        return replace(self, **kept)


@dataclass(frozen=True)
class Batch:
    """Collated samples; indices are unique in the batch."""

    tokens: tuple[str, ...]
    voxels: Voxels
    images: UInt8[Tensor, "decoded 3 rows columns"]  # but those of frames that have maps
    pairs: PairTable
    class_ids: Int[Tensor, " N"] | None = None  # true class of each point, or IGNORE
    segments: UInt8[Tensor, "images rows columns"] | None = None  # superpixels, or IGNORE
    view: Voxels | None = None  # the scans augmented once more, or later ones
    view_pairs: PairTable | None = None  # points that are in both views
    clusters: PairTable | None = None  # voxels of superpoints that the later scan shows too
    view_clusters: PairTable | None = None  # and the later scan's voxels of the same
    maps: Float[Tensor, "kept D r c"] | None = None  # the teacher's, of images seen before
    num_images: tuple[int, ...] = ()  # of each frame
    has_maps: tuple[bool, ...] = ()  # each frame

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""
        return _changed(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Move every tensor where a GPU reads without waiting; torch's loader calls it."""
        return _changed(self, lambda tensor: tensor.pin_memory())


def _changed(record: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a record with every tensor in it, and in the records that it holds, changed."""
    changes = {}
    for name, value in vars(record).items():
        if isinstance(value, Tensor):
            changes[name] = change(value)
        elif isinstance(value, Voxels | PairTable):
            changes[name] = _changed(value, change)
    return replace(record, **changes)
