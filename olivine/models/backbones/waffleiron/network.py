"""WaffleIron: layers that mix points on 2D grids and then the channels of each point.

Puy, Boulch and Marlet, "Using a Waffle Iron for Automotive Point Cloud Semantic Segmentation" (ICCV
2023); ScaLR (CVPR 2024) and OLIVINE's Table 7 pretrain it (method.md §3.3). Modules and weights
have the names and shapes of the released codes, so their checkpoints fit, without `classif`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.neighbours import nearest_rows
from olivine.models.backbones.waffleiron.shape import PROJECTIONS, WaffleShape
from olivine.models.sparse.batch_norm import RowBatchNorm, RowCount

INPUTS = 5  # intensity, x, y, z and their distance from the sensor


class WaffleNet(nn.Module):
    """A network from the kept point of each voxel to one row of features, in the voxels' order.

    The released codes pad a batch's shorter scans with zeros, which count in the statistics of
    batch norm; here no zeros are added. In training they keep the 20,000 points nearest to a random
    one, and they always leave out points beyond the range; here every voxel has its row, and a
    point beyond the range is an error. Residuals are summed at least in single precision.
    """

    def __init__(self, shape: WaffleShape):
        super().__init__()
        self._shape = shape
        self.embed = Embedding(shape.width)
        self.waffleiron = Layers(shape)

    def blocks(self) -> Iterator[nn.Module]:
        """Return the embedding and every mix, which hold most of the activations."""
        yield self.embed
        yield from self.waffleiron.spatial_mix
        yield from self.waffleiron.channel_mix

    def forward(self, voxels: Voxels) -> Float[Tensor, "V channels"]:
        """Return features in the order of `voxels.coordinates`.

        Raises UserError for voxels without their points, for points out of range and for frames
        with too few points to have the neighbours.
        """
        shape = self._shape
        if voxels.points is None:
            raise UserError(
                "waffleiron reads the point of every voxel, and these voxels come without points: "
                "make them with olivine.data.geometry.voxelization.voxelize."
            )
        points = voxels.points[voxels.kept_point]
        xyz_m = points[:, :3]
        _check_range(xyz_m, shape)
        frames, frame = torch.unique(voxels.coordinates[:, 0], return_inverse=True)
        nearest = nearest_rows(xyz_m, frame, shape.num_neighbours)
        planes = project_to_grids(xyz_m, frame, len(frames), shape)
        intensity = (points[:, 3:] - shape.intensity_mean) / shape.intensity_std
        radius_m = torch.linalg.vector_norm(xyz_m, dim=1, keepdim=True)
        count = RowCount(len(points))
        tokens = self.embed(torch.cat([intensity, xyz_m, radius_m], dim=1), nearest, count)
        tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        return self.waffleiron(tokens, planes, frame, len(frames), count)


class Embedding(nn.Module):
    """Turns points into tokens: each point alone, and the maximum over its neighbourhood."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = RowBatchNorm(INPUTS)
        self.conv1 = Pointwise(INPUTS, width)
        self.conv2 = nn.Sequential(
            RowBatchNorm(INPUTS),
            Pointwise(INPUTS, width, bias=False, dimensions=2),
            RowBatchNorm(width),
            nn.ReLU(inplace=True),
            Pointwise(width, width, bias=False, dimensions=2),
        )
        self.final = Pointwise(2 * width, width)

    def forward(
        self, inputs: Float[Tensor, "V inputs"], nearest: Int[Tensor, "V K"], count: RowCount
    ) -> Float[Tensor, "V channels"]:
        """Return one token per point; `nearest` are the rows of its neighbours."""
        inputs = self.norm(inputs, count)
        # bfloat16 resolves a position at 50 m to 0.2 m.
        with torch.autocast(inputs.device.type, enabled=False):
            own = self.conv1(inputs)
        around = inputs[nearest] - inputs[:, None]
        around = self._around(around.flatten(0, 1)).unflatten(0, nearest.shape)
        return self.final(torch.cat([own, around.max(dim=1).values], dim=1))

    def _around(self, rows: Float[Tensor, "neighbours inputs"]) -> Tensor:
        norm, first, inner_norm, activation, last = self.conv2
        count = RowCount(len(rows))
        return last(activation(inner_norm(first(norm(rows, count)), count)))


@dataclass(frozen=True)
class Plane:
    """One 2D grid, and the cell of every point in it."""

    cell: Int[Tensor, " V"]  # counted over the grids of all frames
    count: Int[Tensor, "cells 1"]  # points in a cell, at least one
    shape: tuple[int, int, int]  # frames, rows, columns

    def flatten(self, tokens: Float[Tensor, "V channels"]) -> Float[Tensor, "frames channels h w"]:
        """Return the mean of the tokens in each cell; an empty cell has zeros."""
        sums = tokens.new_zeros(len(self.count), tokens.shape[1])
        # index_add would keep the tokens for the backward pass, a sixth of all activations.
        sums = sums.scatter_add(0, self.cell[:, None].expand_as(tokens), tokens)
        return (sums / self.count).unflatten(0, self.shape).permute(0, 3, 1, 2)

    def inflate(self, image: Float[Tensor, "frames channels h w"]) -> Float[Tensor, "V channels"]:
        """Return the image at each point's cell."""
        rows = image.permute(0, 2, 3, 1).flatten(0, 2)
        return rows.gather(0, self.cell[:, None].expand(-1, rows.shape[1]))


class Layers(nn.Module):
    """All layers: a spatial mix on one of the grids in turn, then a channel mix.

    In training each mix leaves out each frame with the probability `drop_path` and scales the
    others so that the expectation stays the same (stochastic depth, Huang et al., 2016).
    """

    def __init__(self, shape: WaffleShape):
        super().__init__()
        self._drop_path = shape.drop_path
        depth = range(shape.depth)
        self.channel_mix = nn.ModuleList([ChannelMix(shape) for _ in depth])
        self.spatial_mix = nn.ModuleList([SpatialMix(shape) for _ in depth])

    def forward(
        self,
        tokens: Float[Tensor, "V channels"],
        planes: list[Plane],
        frame: Int[Tensor, " V"],
        num_frames: int,
        count: RowCount,
    ) -> Float[Tensor, "V channels"]:
        """Return the tokens after the last layer; `count` is the number of tokens."""
        mixes = zip(self.spatial_mix, self.channel_mix, strict=True)
        for i, (spatial, channel) in enumerate(mixes):
            residual = spatial(tokens, planes[i % len(planes)], count)
            tokens = self._add(tokens, residual, frame, num_frames)
            tokens = self._add(tokens, channel(tokens, count), frame, num_frames)
        return tokens

    def _add(self, tokens: Tensor, residual: Tensor, frame: Tensor, num_frames: int) -> Tensor:
        if not (self.training and self._drop_path):
            return tokens + residual
        kept = torch.rand(num_frames, device=frame.device) >= self._drop_path
        weight = (kept / (1 - self._drop_path)).to(tokens.dtype)
        return torch.addcmul(tokens, residual, weight[frame, None])


class SpatialMix(nn.Module):
    """The residual that mixes the tokens of neighbouring cells, channel by channel."""

    def __init__(self, shape: WaffleShape):
        super().__init__()
        width = shape.width
        self.norm = _norm(shape)
        self.ffn = nn.Sequential(Depthwise(width), nn.ReLU(inplace=True), Depthwise(width))
        self.scale = _layer_scale(width)

    def forward(
        self, tokens: Float[Tensor, "V channels"], plane: Plane, count: RowCount
    ) -> Float[Tensor, "V channels"]:
        """Return the scaled residual."""
        first, activation, last = self.ffn
        image = activation(first(plane.flatten(_normalised(self.norm, tokens, count))))
        return plane.inflate(last(image, self.scale.weight))


class ChannelMix(nn.Module):
    """The residual that mixes the channels of each token."""

    def __init__(self, shape: WaffleShape):
        super().__init__()
        width = shape.width
        self.norm = _norm(shape)
        self.mlp = nn.Sequential(
            Pointwise(width, width), nn.ReLU(inplace=True), Pointwise(width, width)
        )
        self.scale = _layer_scale(width)

    def forward(
        self, tokens: Float[Tensor, "V channels"], count: RowCount
    ) -> Float[Tensor, "V channels"]:
        """Return the scaled residual."""
        first, activation, last = self.mlp
        return last(activation(first(_normalised(self.norm, tokens, count))), self.scale.weight)


class Pointwise(nn.Linear):
    """A linear layer whose weight has the shape of a 1 x 1 convolution: (outputs, inputs, 1, …)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True, dimensions: int = 1):
        super().__init__(inputs, outputs, bias)
        shape = outputs, inputs, *[1] * dimensions
        self.weight = nn.Parameter(self.weight.detach().view(shape))

    def forward(
        self, input: Float[Tensor, "V inputs"], scale: Float[Tensor, "outputs 1 1"] | None = None
    ) -> Float[Tensor, "V outputs"]:
        """Return the layer's rows, each channel times its scale."""
        weight: Tensor = self.weight.flatten(1)
        bias: Tensor = self.bias
        if scale is not None:  # on the weights, which are smaller than the rows
            weight, bias = weight * scale[:, 0], bias * scale[:, 0, 0]
        return F.linear(input, weight, bias)


class Depthwise(nn.Conv2d):
    """A 3 x 3 convolution of each channel alone, which keeps the image's size."""

    def __init__(self, width: int):
        super().__init__(width, width, 3, padding=1, groups=width)

    def forward(
        self,
        input: Float[Tensor, "frames channels h w"],
        scale: Float[Tensor, "channels 1 1"] | None = None,
    ) -> Float[Tensor, "frames channels h w"]:
        """Return the image, each channel times its scale."""
        if scale is None:
            return super().forward(input)
        assert self.bias is not None
        weight, bias = self.weight * scale[..., None], self.bias * scale[:, 0, 0]
        return F.conv2d(input, weight, bias, padding=1, groups=self.groups)


def project_to_grids(
    xyz_m: Float[Tensor, "V 3"], frame: Int[Tensor, " V"], num_frames: int, shape: WaffleShape
) -> list[Plane]:
    """Return the cell of every point on each of the grids, one grid per frame."""
    # In double precision as the released code, so that points on a border fall on the same side.
    begin, end = xyz_m.new_tensor(shape.range_m, dtype=torch.float64).view(2, 3)
    planes = []
    for grid, axes in zip(shape.grids, PROJECTIONS, strict=False):
        cells = begin.new_tensor(grid)
        size_m = (end - begin)[list(axes)] / cells
        position = (xyz_m.double() - begin)[:, list(axes)] / size_m
        # A quotient just below the last cell's end may be rounded up to it.
        row, column = position.long().minimum(cells.long() - 1).unbind(1)
        cell = (frame * grid[0] + row) * grid[1] + column
        count = cell.bincount(minlength=num_frames * grid[0] * grid[1])
        planes.append(Plane(cell, count.clamp(min=1)[:, None], (num_frames, *grid)))
    return planes


def _check_range(xyz_m: Tensor, shape: WaffleShape) -> None:
    begin, end = xyz_m.new_tensor(shape.range_m, dtype=torch.float64).view(2, 3)
    outside = int(((xyz_m < begin) | (xyz_m >= end)).any(dim=1).sum())
    if outside:
        low, high = ([round(x, 2) for x in corner.tolist()] for corner in xyz_m.aminmax(dim=0))
        raise UserError(
            f"{outside} of {len(xyz_m)} voxels have their point outside waffleiron's range_m "
            f"{shape.range_m}; points go from {low} to {high} m: set the voxels' range like the "
            f"backbone's: --set 'pretrained.voxels.range_m={list(shape.range_m)}'."
        )


def _norm(shape: WaffleShape) -> nn.Module:
    return (RowBatchNorm if shape.norm == "batch" else nn.LayerNorm)(shape.width)


def _normalised(norm: nn.Module, tokens: Tensor, count: RowCount) -> Tensor:
    return norm(tokens, count) if isinstance(norm, RowBatchNorm) else norm(tokens)


def _layer_scale(width: int) -> nn.Conv1d:
    """Return one weight per channel, drawn from ±1 as by torch's default in the released code."""
    return nn.Conv1d(width, width, 1, bias=False, groups=width)
