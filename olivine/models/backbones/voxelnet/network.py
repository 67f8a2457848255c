"""VoxelNet for detection: the sparse encoder of SECOND and a bird's-eye-view map.

Yan et al., Sensors 2018. The encoder is OpenPCDet's VoxelBackBone8x, which SLidR and OLIVINE
pretrain for detectors (method.md §3.2). Weights have OpenPCDet's names and spconv 2's layout
(outputs, z, y, x, inputs), so its checkpoints fit; those of spconv 1 (z, y, x, inputs, outputs) do
not.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.cell_keys import pack
from olivine.models.backbones.voxelnet.grid import DOWN, MAP_STRIDE, OUTPUTS, ROUNDING, VoxelGrid
from olivine.models.scatter import group_means
from olivine.models.sparse.batch_norm import RowBatchNorm, RowCount
from olivine.models.sparse.convolution import convolve
from olivine.models.sparse.kernel_maps import END, Cells, KernelMap, occupied_cells, submanifold
from olivine.models.sparse.shapes import Triple, output_shape
from olivine.models.sparse.strided import strided

INPUTS = 4  # mean x, y, z and intensity


class BirdsEyeNet(nn.Module):
    """A network from voxels to one row of features per voxel, read from a bird's-eye-view map.

    A voxel's input is the mean x, y, z (m) and intensity of its points: of all of them, where
    OpenPCDet keeps a limited number (SLidR and OLIVINE 10, and 60,000 voxels per scan). Its row is
    read from the map at its kept point's x and y, so it depends on z only as far as the map does;
    OLIVINE reads the map at each point of a pair.

    Positions are those of OpenPCDet's `bilinear_interpolate_torch`: (x - lower limit) / (8 voxels),
    without a shift by half a cell, so that a cell's feature lies at its lower corner. Neighbours
    beyond the border are the border's own cells; OpenPCDet computes its weights after that, by
    which the border's last cells cancel to zero. Cells of the map without a site are zeros, as in
    its dense map.

    OLIVINE projects the map's sites to 64 channels first (linear, without bias), scales each to
    length 1 and then reads; here rows are read first and the heads project and scale them. Reading
    is linear, so the two differ only in the scaling (of sites before the reading, of rows after it)
    and in the bias that heads have here.
    """

    def __init__(self, grid: VoxelGrid):
        super().__init__()
        self._grid = grid
        self.conv_input = Block(INPUTS, 16)
        self.conv1 = nn.ModuleList([Block(16, 16)])
        self.conv2 = _level(16, 32)
        self.conv3 = _level(32, 64)
        self.conv4 = _level(64, 64)
        self.conv_out = Block(64, OUTPUTS, DOWN[-1][0])

    def blocks(self) -> Iterator[nn.Module]:
        """Return every convolution with its norm, which hold the activations."""
        return (module for module in self.modules() if isinstance(module, Block))

    def forward(self, voxels: Voxels) -> Float[Tensor, "V channels"]:
        """Return features in the order of `voxels.coordinates`, at least in single precision.

        Raises UserError for voxels without their points, for voxels that do not fit the settings,
        and for voxels outside the range.
        """
        if voxels.points is None:
            raise UserError(
                "voxelnet takes the mean of every voxel's points, and these voxels come without "
                "points: make them with olivine.data.geometry.voxelization.voxelize."
            )
        origin = voxels.coordinates.new_tensor([0, *self._grid.first_cell])
        cells = voxels.coordinates - origin
        in_own_voxel = self._in_own_voxel(voxels, voxels.points)
        self._check(voxels, cells, in_own_voxel)
        inputs = group_means(
            voxels.points[in_own_voxel], voxels.voxel_of_point[in_own_voxel], len(cells)
        )
        sites, features = self.encode(occupied_cells(cells), inputs)
        frames = voxels.coordinates[:, 0].long()
        positions = self._positions(voxels.points[voxels.kept_point, :2])
        return read_bilinear(features, sites, self._grid.map_shape, frames, positions)

    def encode(
        self, cells: Cells, features: Float[Tensor, "V inputs"]
    ) -> tuple[Cells, Float[Tensor, "S 128"]]:
        """Return the map's sites and their features; `cells` are counted from the first cell."""
        shape = self._grid.grid_shape
        neighbours, count = submanifold(cells, 3), RowCount(len(cells))
        features = self.conv_input(features, neighbours, count)
        features = self.conv1[0](features, neighbours, count)
        for blocks, window in zip((self.conv2, self.conv3, self.conv4), DOWN[:-1], strict=True):
            cells, down = strided(cells, shape, *window)
            shape = output_shape(shape, *window)
            neighbours, count = submanifold(cells, 3), RowCount(len(cells))
            for i, block in enumerate(blocks):
                features = block(features, neighbours if i else down, count)
        sites, down = strided(cells, shape, *DOWN[-1])
        return sites, self.conv_out(features, down, RowCount(len(sites)))

    def _positions(self, xy_m: Float[Tensor, "V 2"]) -> Float[Tensor, "V 2"]:
        """Return positions in x and y, in cells of the map."""
        grid = self._grid
        size = xy_m.new_tensor(grid.size_m[:2])
        return (xy_m - xy_m.new_tensor(grid.range_m[:2])) / size / MAP_STRIDE

    def _in_own_voxel(self, voxels: Voxels, points: Float[Tensor, "N 4"]) -> Bool[Tensor, " N"]:
        """Return which points lie in the voxel that they are assigned to.

        If every point has a voxel, points outside the range have the nearest one.
        """
        row = voxels.voxel_of_point
        inside = row >= 0
        if len(voxels.coordinates):
            cell = voxels.coordinates[row.clamp(min=0), 1:]
            position = points[:, :3] / points.new_tensor(self._grid.size_m)
            inside &= ((position - cell - 0.5).abs() <= 0.5 + ROUNDING).all(dim=1)
        return inside

    def _check(
        self, voxels: Voxels, cells: Int[Tensor, "V 4"], in_own_voxel: Bool[Tensor, " N"]
    ) -> None:
        grid = self._grid
        strangers = int((~in_own_voxel[voxels.kept_point]).sum())
        x, y, z = grid.grid_shape
        end = cells.new_tensor([x, y, z - grid.spare_cells_z])
        outside = int(((cells[:, 1:] < 0) | (cells[:, 1:] >= end)).any(dim=1).sum())
        advice = (
            "set pretrained.voxels like the backbone: --set pretrained.voxels.coordinates="
            f"cartesian --set 'pretrained.voxels.range_m={list(grid.range_m)}' "
            f"--set 'pretrained.voxels.size={list(grid.size_m)}'."
        )
        if strangers:
            raise UserError(
                f"{strangers} of {len(cells)} voxels do not lie where their point is, so they were "
                f"not cut in x, y, z by voxelnet's size_m {grid.size_m}: {advice}"
            )
        if outside:
            raise UserError(
                f"{outside} of {len(cells)} voxels lie outside voxelnet's range_m "
                f"{grid.range_m}: {advice}"
            )


class Block(nn.ModuleList):
    """A convolution without bias, batch norm and ReLU, under spconv's names `0` and `1`."""

    def __init__(self, inputs: int, outputs: int, size: Triple = (3, 3, 3)):
        norm = RowBatchNorm(outputs, eps=1e-3, momentum=0.01)
        super().__init__([SparseConv(inputs, outputs, size), norm])

    def forward(
        self, features: Float[Tensor, "sources inputs"], kernel_map: KernelMap, count: RowCount
    ) -> Float[Tensor, "targets outputs"]:
        """Return the features of the map's targets; `count` is the number of these."""
        convolution, norm = self
        return F.relu(norm(convolution(features, kernel_map), count), inplace=True)


class SparseConv(nn.Module):
    """A kernel in spconv 2's layout (outputs, z, y, x, inputs), initialised as in spconv."""

    def __init__(self, inputs: int, outputs: int, size: Triple):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, *reversed(size), inputs))
        # Kaiming's uniform with a = √5 over the inputs: 1/√fan_in.
        bound = 1 / math.sqrt(inputs * math.prod(size))
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(
        self, features: Float[Tensor, "sources inputs"], kernel_map: KernelMap
    ) -> Float[Tensor, "targets outputs"]:
        """Return the convolved features of the map's targets."""
        kernel = self.weight.permute(1, 2, 3, 4, 0).flatten(0, 2).contiguous()
        return convolve(features, kernel, kernel_map)


def read_bilinear(
    features: Float[Tensor, "S channels"],
    sites: Cells,
    shape: Triple,
    frames: Int[Tensor, " V"],
    positions: Float[Tensor, "V 2"],
) -> Float[Tensor, "V outputs"]:
    """Return a sparse map's features at positions by bilinear interpolation, at least in float32.

    `sites` are the map's occupied cells in a grid of `shape`; `positions` are x and y in its cells,
    where cell i's feature lies at i, in the maps of `frames`. Empty cells are zeros, and positions
    beyond the border's cells read the border's. A row holds the cells in z of channel 0, then of
    channel 1, as a dense map (frames, channels, z, y, x) flattened over channels and z.
    """
    assert sites.rows is None, "sites are in the order of their keys"
    precise = torch.promote_types(features.dtype, torch.float32)
    # Empty cells read the last row, of zeros.
    table = F.pad(features.to(precise), (0, 0, 0, 1))
    low = positions.floor()
    upper = positions - low
    weights_x, weights_y = torch.stack([1 - upper, upper], dim=2).to(precise).unbind(1)
    weights = (weights_y[:, :, None] * weights_x[:, None, :]).flatten(1)
    near = low.long()[:, :, None] + torch.arange(2, device=low.device)
    column, row = near[:, 0].clamp(0, shape[0] - 1), near[:, 1].clamp(0, shape[1] - 1)
    of_corner = torch.stack(
        [
            frames[:, None].expand(-1, 4),
            column.repeat(1, 2),
            row.repeat_interleave(2, dim=1),
            torch.zeros_like(column).repeat(1, 2),
        ],
        dim=2,
    )
    layers = []
    for z in range(shape[2]):
        wanted = pack((of_corner + of_corner.new_tensor([0, 0, 0, z])).flatten(0, 1))
        rows = _rows_of(sites, wanted).view(-1, 4)
        layers.append(F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum"))
    return torch.stack(layers, dim=2).flatten(1)


def _rows_of(sites: Cells, wanted: Int[Tensor, " M"]) -> Int[Tensor, " M"]:
    """Return the row of each key, or the number of rows where there is no such site."""
    position = torch.searchsorted(sites.keys, wanted)
    padded = torch.cat([sites.keys, sites.keys.new_tensor([END])])
    return torch.where(padded[position] == wanted, position, len(sites))


def _level(inputs: int, outputs: int) -> nn.ModuleList:
    """Return a strided block and two blocks that keep the cells."""
    return nn.ModuleList([Block(inputs, outputs), Block(outputs, outputs), Block(outputs, outputs)])
