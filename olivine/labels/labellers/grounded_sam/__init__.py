"""Grounded-SAM: boxes for a list of prompts, a mask for every box, one class per pixel.

Ren et al., "Grounded SAM", 2024; the paper's first labels are of this kind (method.md §2.2). Two
engines give the same result under the same rules: `packages` reads the original checkpoints with
groundingdino-py and segment-anything, `transformers` reads model folders with transformers.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from olivine.data.dataset import Frames
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.labels.labellers.grounded_sam.detection_rules import DetectionRules
from olivine.models.weights import WeightsName, weights_identity

if TYPE_CHECKING:
    import torch

BACKGROUND = "background"


class GroundedSam(DetectionRules, Labeller):
    """Labels photographs with GroundingDINO and SAM.

    `DetectionRules` sets which boxes count and how masks become a map of classes.
    """

    kind: ClassVar[str] = "grounded_sam"
    places: ClassVar[frozenset[str]] = frozenset({"detector", "segmenter", "text_encoder"})
    engine: Literal["packages", "transformers"] = Field(
        default="packages",
        description="Packages that run the networks: the authors' own, or transformers.",
    )
    detector: WeightsName = Field(
        default="groundingdino_swint_ogc",
        description="GroundingDINO's weights: a published name (see `olivine weights list`), a "
        "file or a folder.",
    )
    segmenter: WeightsName = Field(
        default="sam_vit_h",
        description="SAM's weights: a published name (see `olivine weights list`), a file or a "
        "folder.",
    )
    text_encoder: WeightsName = Field(
        default="bert-base-uncased",
        description="BERT's weights: a published name, or a folder; the engine transformers has "
        "them in the detector.",
    )
    precision: Literal["float16", "bfloat16", "float32"] = Field(
        default="float16",
        description="Number format of products on a GPU; a CPU always computes in float32.",
    )

    @model_validator(mode="after")
    def _has_room(self) -> "GroundedSam":
        if self.uncovered == "background" and BACKGROUND in self.vocabulary.class_names:
            raise ValueError("uncovered='background' needs a vocabulary without that class")
        return self

    @property
    def identity(self) -> str:
        """A hash of settings, version and weights, whatever the path of the weights.

        Published weights are identified without reading them, so a machine that only trains needs
        none. With the engine `transformers` the text encoder is part of the detector.
        """
        weights = [weights_identity(self.detector), weights_identity(self.segmenter)]
        if self.engine == "packages":
            weights.append(weights_identity(self.text_encoder))
        return self.identity_of(*weights)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the prompts, after the background if it is a class."""
        names = self.vocabulary.class_names
        return (BACKGROUND, *names) if self.uncovered == "background" else names

    def build(self, device: "torch.device", frames: Frames) -> ImageLabeller:
        """Return the loaded labeller; raise UserError for missing packages or weights."""
        import torch

        from olivine.labels.labellers.grounded_sam.labeller import GroundedSamLabeller
        from olivine.models.foundation.torchvision_ops import ensure_torchvision

        ensure_torchvision()
        # CPUs get no half precision: few have the instructions, and some operators are missing.
        dtype = torch.float32 if device.type == "cpu" else getattr(torch, self.precision)
        texts = self.vocabulary.texts
        if self.engine == "packages":
            from olivine.models.foundation.grounding_dino import (
                GroundingDinoDetector,
                load_grounding_dino,
            )
            from olivine.models.foundation.sam import SamSegmenter, load_sam

            model = load_grounding_dino(self.detector, self.text_encoder)
            detector = GroundingDinoDetector(model, texts, device, dtype)
            segmenter = SamSegmenter(load_sam(self.segmenter), device, dtype)
            return GroundedSamLabeller(self, detector, segmenter, device)
        from olivine.models.foundation.hugging_face import HuggingFaceDetector, HuggingFaceSegmenter

        return GroundedSamLabeller(
            self,
            HuggingFaceDetector(self.detector, texts, device, dtype),
            HuggingFaceSegmenter(self.segmenter, device, dtype),
            device,
        )
