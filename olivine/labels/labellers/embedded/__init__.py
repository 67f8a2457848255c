"""A small labeller that comes with the package, for the demo and for tests."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.data.class_names import WEAK_B
from olivine.data.dataset import Frames
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.labels.labellers.embedded.weights import WEIGHTS, weights_hash

if TYPE_CHECKING:
    import torch

# The weak vocabulary of SEEM's labels, in its own order (method.md §2.1 B), which is not nuScenes'.
CLASS_NAMES = WEAK_B


class Embedded(Labeller):
    """Labels images with the package's own weights."""

    kind: ClassVar[str] = "embedded"
    note: ClassVar[str] = (
        "it was trained on synthetic streets only; on photographs its labels mean little."
    )
    min_confidence: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Probability below which a pixel gets no class."
    )

    @property
    def identity(self) -> str:
        """Settings, version and weights together."""
        return self.identity_of(weights_hash())

    @property
    def class_names(self) -> tuple[str, ...]:
        """The 16 weak classes."""
        return CLASS_NAMES

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Load the weights; raise UserError if their file is missing or broken."""
        from olivine.labels.labellers.embedded.labeller import (
            EmbeddedLabeller,
            SmallSegmenter,
            load_weights,
        )

        network = SmallSegmenter()
        network.load_state_dict(load_weights(WEIGHTS))
        return EmbeddedLabeller(network.to(device).eval(), self.min_confidence, device)
