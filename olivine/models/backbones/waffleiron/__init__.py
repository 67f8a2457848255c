"""WaffleIron (Puy et al., ICCV 2023): points mixed on flat grids, then channels in points."""

from typing import TYPE_CHECKING, ClassVar

from olivine.models.backbones.base import Backbone
from olivine.models.backbones.waffleiron.shape import WaffleShape

if TYPE_CHECKING:
    import torch


class WaffleIron(WaffleShape, Backbone):
    """WaffleIron of the size, space and grids that `WaffleShape` sets."""

    kind: ClassVar[str] = "waffleiron"

    @property
    def num_channels(self) -> int:
        """Channels of a voxel's feature."""
        return self.width

    def build(self, num_input_channels: int) -> "torch.nn.Module":
        """Return the network; whatever channels voxels have, it reads their points itself."""
        from olivine.models.backbones.waffleiron.network import WaffleNet

        return WaffleNet(self)
