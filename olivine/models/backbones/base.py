"""The family of 3D networks, and the interface of its members."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from olivine.core.errors import UserError, nearest
from olivine.core.parts import Part
from olivine.models.weights import WeightsName, weights_identity

if TYPE_CHECKING:
    import torch


class Backbone(Part):
    """Builds a 3D network that returns one row of features per voxel.

    With `weights` it starts from a published checkpoint instead of at random; a pretraining of
    no epochs then is that checkpoint.

    An evaluation may have its own values of some settings (`EvaluateConfig.backbone`). A class
    names them: `training_only` act only while the network trains, such as the momentum of batch
    norms, so that a frozen network has no use for them; `keeps_weights` act always, and fit weights
    of any other value, such as the range of the input. The names of `places` are free too.
    """

    family: ClassVar[str] = "backbones"
    built_in: ClassVar[Mapping[str, str]] = {
        "minkunet": "olivine.models.backbones.minkunet:MinkUNet",
        "voxelnet": "olivine.models.backbones.voxelnet:VoxelNet",
        "waffleiron": "olivine.models.backbones.waffleiron:WaffleIron",
    }
    places: ClassVar[frozenset[str]] = frozenset({"weights"})
    training_only: ClassVar[frozenset[str]] = frozenset()
    keeps_weights: ClassVar[frozenset[str]] = frozenset()

    weights: WeightsName = Field(
        default="",
        description="Path of a published checkpoint that the network starts from; empty starts at "
        "random.",
    )

    @classmethod
    def evaluation_settings(cls) -> list[str]:
        """Return the names of the settings that an evaluation may change."""
        places = cls.places - Backbone.places  # an evaluation starts from the pretraining's weights
        return sorted(cls.training_only | cls.keeps_weights | places)

    def for_evaluation(self, changes: Mapping[str, Any]) -> "Backbone":
        """Return the network that an evaluation trains; a change to None keeps the own value.

        Raises UserError for settings that an evaluation must not change, and for wrong values.
        """
        free = self.evaluation_settings()
        given = {name: value for name, value in changes.items() if value is not None}
        for name in given:
            if name not in free:
                raise UserError(
                    f"Setting 'backbone': an evaluation may change {', '.join(free) or 'nothing'} "
                    f"of {self.kind}, not {name!r}.{nearest(name, free)} What the weights depend "
                    "on is set by pretrained.backbone."
                )
        return type(self).from_dict({**dict(self), **given}, within="backbone") if given else self

    def evaluation_changes(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every setting that an evaluation may change; None is no change.

        Raises UserError as `for_evaluation`.
        """
        network = self.for_evaluation(changes)
        return {
            name: None if changes.get(name) is None else getattr(network, name)
            for name in self.evaluation_settings()
        }

    def changed_results(self, changes: Mapping[str, Any], *, frozen: bool) -> list[str]:
        """Return the names of changes that can change a result.

        Values equal to its own cannot, nor `places`; in a `frozen` network nor `training_only`.
        """
        idle = self.places | (self.training_only if frozen else frozenset())
        return [
            name
            for name, value in changes.items()
            if name not in idle and value not in (None, getattr(self, name))
        ]

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
