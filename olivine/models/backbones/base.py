"""The family of 3D networks, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.core.parts import Part
from olivine.models.weights import WeightsName, weights_identity

if TYPE_CHECKING:
    import torch


class Backbone(Part):
    """Builds a 3D network that returns one row of features per voxel.

    With `weights` it starts from a published checkpoint instead of at random; a pretraining of
    no epochs then is that checkpoint.
    """

    family: ClassVar[str] = "backbones"
    built_in: ClassVar[Mapping[str, str]] = {
        "minkunet": "olivine.models.backbones.minkunet:MinkUNet",
        "voxelnet": "olivine.models.backbones.voxelnet:VoxelNet",
        "waffleiron": "olivine.models.backbones.waffleiron:WaffleIron",
    }
    places: ClassVar[frozenset[str]] = frozenset({"weights"})

    weights: WeightsName = Field(
        default="",
        description="Path of a published checkpoint that the network starts from; empty starts at "
        "random.",
    )

    @property
    def identity(self) -> str:
        """The SHA-256 of the weights that it starts from; empty for random ones."""
        return weights_identity(self.weights) if self.weights else ""

    @property
    @abstractmethod
    def num_channels(self) -> int:
        """The number of channels of its features."""

    @abstractmethod
    def build(self, num_input_channels: int) -> "torch.nn.Module":
        """Return a network from `Voxels` to one row of `num_channels` per voxel.

        Random weights come from torch's global generator.
        """
