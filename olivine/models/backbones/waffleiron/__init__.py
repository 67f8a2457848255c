"""WaffleIron (Puy et al., ICCV 2023): mixes points on 2D grids, then channels of each point."""

from typing import TYPE_CHECKING, ClassVar

from olivine.models.backbones.base import Backbone
from olivine.models.backbones.waffleiron.shape import WaffleShape

if TYPE_CHECKING:
    import torch


class WaffleIron(WaffleShape, Backbone):
    """WaffleIron of the size, space and grids that `WaffleShape` sets."""

    kind: ClassVar[str] = "waffleiron"
    training_only: ClassVar[frozenset[str]] = frozenset({"drop_path"})
    keeps_weights: ClassVar[frozenset[str]] = frozenset(
        {"grids", "intensity_mean", "intensity_std", "num_neighbours", "range_m"}
    )

    @property
    def num_channels(self) -> int:
        """The number of channels of a voxel's feature."""
        return self.width

    def build(self, num_input_channels: int) -> "torch.nn.Module":
        """Return the network, which reads the kept point of every voxel."""
        from olivine.models.backbones.waffleiron.network import WaffleNet

        return WaffleNet(self)
