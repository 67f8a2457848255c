"""The records that networks take: those of `olivine.data.records` as tensors.

They are apart from them, so that reading a data set does not import torch. Shapes: N points of a
batch, M point-pixel pairs, V voxels, D channels, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Voxels:
    """The occupied cells of a batch of scans, and how they map to points."""

    coordinates: Int[Tensor, "V 4"]  # frame in the batch, then the three cell indices
    features: Float[Tensor, "V channels"]  # of the cell's kept point
    voxel_of_point: Int[Tensor, " N"]  # row of each point of the batch; -1: none
    kept_point: Int[Tensor, " V"]  # point whose feature and label the cell has
    points: Float[Tensor, "N 4"] | None = None  # x, y, z in metres and intensity of every point

    def to(self, device: torch.device) -> "Voxels":
        """Return the record with every tensor on a device."""
        return _changed(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class PairTable:
    """All pairs of a batch, with what a sampler may weigh and without features.

    A point is paired with a pixel, with itself in the scan's second view, or with its superpoint in
    a later scan.
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
        """Return the pairs that an index or a mask chooses."""
        kept = {name: value[chosen] for name, value in vars(self).items() if value is not None}
        return replace(self, **kept)


@dataclass(frozen=True)
class Batch:
    """Collated samples; indices are unique in the batch."""

    tokens: tuple[str, ...]
    voxels: Voxels
    images: UInt8[Tensor, "decoded 3 rows columns"]  # without those of frames that have maps
    pairs: PairTable
    class_ids: Int[Tensor, " N"] | None = None  # true class of each point, or IGNORE
    segments: UInt8[Tensor, "images rows columns"] | None = None  # superpixels, or IGNORE
    view: Voxels | None = None  # the scans augmented once more, or later ones
    view_pairs: PairTable | None = None  # points that are in both views
    clusters: PairTable | None = None  # voxels of superpoints that are also in the later scan
    view_clusters: PairTable | None = None  # the later scan's voxels of the same superpoints
    maps: Float[Tensor, "cached D r c"] | None = None  # the teacher's cached feature maps
    num_images: tuple[int, ...] = ()  # of each frame
    has_maps: tuple[bool, ...] = ()  # of each frame
    images_hashes: tuple[str, ...] = ()  # of each frame's images as they were read

    def to(self, device: torch.device) -> "Batch":
        """Return the record with every tensor on a device."""
        return _changed(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return the record with every tensor in pinned memory; torch's loader calls this."""
        return _changed(self, lambda tensor: tensor.pin_memory())


def _changed(record: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a record with `change` applied to its tensors and to those of the records in it."""
    changes = {}
    for name, value in vars(record).items():
        if isinstance(value, Tensor):
            changes[name] = change(value)
        elif isinstance(value, Voxels | PairTable):
            changes[name] = _changed(value, change)
    return replace(record, **changes)
