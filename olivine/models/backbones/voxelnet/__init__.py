"""VoxelNet for detection: SECOND's sparse encoder (Yan et al. 2018) and a map from above."""

from typing import TYPE_CHECKING, ClassVar

from olivine.models.backbones.base import Backbone
from olivine.models.backbones.voxelnet.grid import OUTPUTS, VoxelGrid

if TYPE_CHECKING:
    import torch


class VoxelNet(VoxelGrid, Backbone):
    """VoxelNet on the part of space and the voxels that `VoxelGrid` sets."""

    kind: ClassVar[str] = "voxelnet"

    @property
    def num_channels(self) -> int:
        """Channels of a voxel's feature: 128 for each cell that the map has in z."""
        return OUTPUTS * self.map_shape[2]

    def build(self, num_input_channels: int) -> "torch.nn.Module":
        """Return the network; whatever channels voxels have, it takes the four means itself."""
        from olivine.models.backbones.voxelnet.network import BirdsEyeNet

        return BirdsEyeNet(self)
