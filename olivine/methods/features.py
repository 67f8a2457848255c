"""The features that the terms of a method need, and how they are read from feature maps."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from olivine.data.batch import PairTable, Voxels
from olivine.methods.matched import Matched
from olivine.models.scatter import group_means


@runtime_checkable
class Projected(Protocol):
    """Features that are requested by row, so that only sampled rows are projected."""

    def points(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length point feature of each pair."""
        ...

    def pixels(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length pixel feature of each pair."""
        ...

    def views(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the unit-length feature of each pair's point in the scan's second view."""
        ...

    def later_points(self, head: str) -> tuple[Float[Tensor, "L D"], Int[Tensor, " L"]]:
        """Return unit-length features of the later scans' voxels, and their superpoints."""
        ...

    def scans(self, head: str) -> Float[Tensor, "frames D"]:
        """Return the unit-length feature of each whole scan."""
        ...

    def scan_keys(self, head: str) -> Float[Tensor, "frames D"]:
        """Return the unit-length feature of each scan's second view, by the momentum encoder."""
        ...

    def teacher_rows(self, pairs: PairTable) -> Float[Tensor, "M T"]:
        """Return the teacher's own feature at each pair's pixel."""
        ...

    def segments(self, pairs: PairTable) -> Int[Tensor, " M"]:
        """Return the segment of each pair's pixel, numbered over the batch; -1 is none."""
        ...

    def segment_pixels(
        self, head: str, segments: Int[Tensor, " S"], teacher_rows: bool
    ) -> tuple[Float[Tensor, "S D"], Float[Tensor, "S T"] | None]:
        """Return means over all pixels of segments: of projected and of the teacher's own features.

        The second is None unless `teacher_rows` is set.
        """
        ...


def mean_of_scans(
    rows: Float[Tensor, "V D"], voxels: Voxels, num_frames: int
) -> Float[Tensor, "frames D"]:
    """Return the mean feature of each scan's voxels."""
    return group_means(rows, voxels.coordinates[:, 0].long(), num_frames)


def segment_shares(
    segments: UInt8[Tensor, "rows columns"], wanted: Int[Tensor, " S"], map_size: tuple[int, ...]
) -> Float[Tensor, "S cells"]:
    """Return the share of each cell of a map in the mean over all pixels of a segment.

    The mean of an enlarged map is a linear function of the map's cells: every pixel's four bilinear
    weights (`align_corners=True`) are summed per segment and cell (method.md §10.2). So the map is
    pooled at its own resolution. Rows sum to 1.
    """
    rows, columns = segments.shape
    down, right = (
        _axis_weights(size, cells, segments.device)
        for size, cells in zip((rows, columns), map_size, strict=True)
    )
    masks = (segments == wanted[:, None, None]).float()
    shares = (down.T @ masks @ right).flatten(1)
    return shares / shares.sum(dim=1, keepdim=True)


def _axis_weights(size_px: int, num_cells: int, device: torch.device) -> Tensor:
    """Return the bilinear weights of every cell at every pixel of one axis."""
    position = torch.arange(size_px, device=device) * ((num_cells - 1) / max(size_px - 1, 1))
    cells = torch.arange(num_cells, device=device)
    return (1 - (position[:, None] - cells).abs()).clamp(min=0)


def read_map(
    maps: Float[Tensor, "images D r c"],
    pixel_index: Int[Tensor, "M 3"],
    image_size_px: tuple[int, ...],
) -> Float[Tensor, "M D"]:
    """Return maps read at pixels (image, row, column) by bilinear interpolation.

    The map's corners lie on the image's (`align_corners=True`), as the published codes enlarge
    their maps. Positions and means are in single precision, whatever the maps are.
    """
    channels_last = maps.permute(0, 2, 3, 1)
    image = pixel_index[:, 0]
    positions = pixel_index.to(torch.promote_types(maps.dtype, torch.float32))
    row, column = (
        positions[:, 1 + axis] * ((maps.shape[2 + axis] - 1) / max(image_size_px[axis] - 1, 1))
        for axis in (0, 1)
    )
    top, left = row.floor().long(), column.floor().long()
    down, right = (row - top)[:, None], (column - left)[:, None]
    bottom = (top + 1).clamp(max=maps.shape[2] - 1)
    far = (left + 1).clamp(max=maps.shape[3] - 1)
    upper = channels_last[image, top, left] * (1 - right) + channels_last[image, top, far] * right
    lower = (
        channels_last[image, bottom, left] * (1 - right) + channels_last[image, bottom, far] * right
    )
    return upper * (1 - down) + lower * down


@runtime_checkable
class RowPooling(Protocol):
    """Averages features into groups before they are compared."""

    def __call__(
        self,
        features: Projected,
        head: str,
        pairs: PairTable,
        group_ids: Int[Tensor, " M"],
        teacher_rows: bool = False,
    ) -> Matched:
        """Return one row per group; `group_ids` are the pairs' contrast groups.

        With `teacher_rows` it also returns the teacher's own features.
        """
        ...
