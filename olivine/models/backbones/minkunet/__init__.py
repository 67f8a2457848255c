"""MinkUNet, the sparse U-Net of Choy et al. (CVPR 2019), as SLidR and its followers pretrain it."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from olivine.models.backbones.base import Backbone
from olivine.models.backbones.minkunet.shape import UNetShape

if TYPE_CHECKING:
    import torch


class MinkUNet(UNetShape, Backbone):
    """A sparse U-Net of the shape that `UNetShape` sets.

    The engines give equal results up to rounding, so one continues from the other's checkpoint.
    """

    kind: ClassVar[str] = "minkunet"
    places: ClassVar[frozenset[str]] = Backbone.places | {"engine"}
    training_only: ClassVar[frozenset[str]] = frozenset({"bn_momentum", "bn_momentum_blocks"})

    engine: Literal["torch", "minkowski"] = Field(
        default="torch",
        description="Library of the sparse convolutions on this machine: this package's own on "
        "torch, or MinkowskiEngine.",
    )

    @property
    def num_channels(self) -> int:
        """The number of channels of a voxel's feature, which is that of the last stage."""
        return self.planes[-1]

    def build(self, num_input_channels: int) -> "torch.nn.Module":
        """Return the network; raise UserError for an engine that is not installed."""
        from olivine.models.backbones.minkunet.network import SparseUNet
        from olivine.models.sparse.grid import TorchGrid
        from olivine.models.sparse.minkowski import MinkowskiGrid, minkowski_engine

        if self.engine == "minkowski":
            minkowski_engine()
            return SparseUNet(self, num_input_channels, MinkowskiGrid)
        return SparseUNet(self, num_input_channels, TorchGrid)
