"""Every voxel together with the means of the pillars, narrow to wide, that contain it.

In the manner of PointPillars (Lang et al., CVPR 2019), at several widths and without a grid of
cells: a mean over a wide pillar is the context that a convolution would bring.
"""

from typing import ClassVar

import torch
from olivine.data.batch import Voxels
from olivine.models.backbones.base import Backbone
from olivine.models.scatter import group_means
from pydantic import Field
from torch import Tensor, nn

MOST = 255.0  # of an intensity, as nuScenes and the town have them


class Pillars(Backbone):
    """Settings: channels of a feature, and the sides of the pillars in voxels."""

    kind: ClassVar[str] = "pillars"

    width: int = Field(default=64, ge=2, description="Channels of a voxel's feature.")
    sides: tuple[int, ...] = Field(
        default=(4, 16, 64), min_length=1, description="Sides of the pillars in voxels."
    )

    @property
    def num_channels(self) -> int:
        """Channels of the features that it returns."""
        return self.width

    def build(self, num_input_channels: int) -> nn.Module:
        """Return a network from `Voxels` to one row of `num_channels` per voxel."""
        return _Pillars(num_input_channels, self.width, self.sides)


class _Pillars(nn.Module):
    def __init__(self, num_input_channels: int, width: int, sides: tuple[int, ...]):
        super().__init__()
        self.sides = sides
        self.point = nn.Sequential(
            nn.Linear(num_input_channels + 3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        inputs = width * (1 + len(sides))
        self.mix = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width)
        )

    def forward(self, voxels: Voxels) -> Tensor:
        """Return a feature row for each voxel; a scan's rows depend on that scan alone."""
        cells = voxels.coordinates.long()  # frame in the batch, then x, y and z
        place = torch.cat([(cells[:, 1:3] % self.sides[0]) / self.sides[0], cells[:, 3:] / 16], 1)
        rows = self.point(torch.cat([place, voxels.features / MOST], dim=1))
        return self.mix(torch.cat([rows, *(self._context(rows, cells, s) for s in self.sides)], 1))

    def _context(self, rows: Tensor, cells: Tensor, side: int) -> Tensor:
        """Return, for each voxel, the mean of the rows of its pillar."""
        pillar = torch.cat([cells[:, :1], cells[:, 1:3].div(side, rounding_mode="floor")], dim=1)
        pillars, of_voxel = torch.unique(pillar, dim=0, return_inverse=True)
        return group_means(rows, of_voxel, len(pillars))[of_voxel]
