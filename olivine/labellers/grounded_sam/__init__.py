"""Grounded-SAM: boxes for a list of prompts, a mask for every box, one class per pixel.

Ren et al., "Grounded SAM", 2024; the paper's first labels are of this kind (METHOD 2.2). Two
engines give the same answer to the same rules: `packages` reads the original checkpoints with
groundingdino-py and segment-anything, `transformers` reads model folders with transformers.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator

from olivine.labellers.grounded_sam.rules import Overlap
from olivine.labellers.grounded_sam.vocabulary import Vocabulary
from olivine.network_parts import ImageLabeller, Labeller
from olivine.parts import Frames
from olivine.weights import identity

BACKGROUND = "background"


class GroundedSam(Labeller):
    """Labels photographs with GroundingDINO and SAM.

    `detector`, `segmenter` and `text_encoder` are published weights by name (`olivine weights
    list`) or a lab's own file or folder. Pixels under no mask get no class; the published codes
    make them a class of their own, `uncovered="background"`, the first of the vocabulary.
    """

    kind: ClassVar[str] = "grounded_sam"
    places: ClassVar[frozenset[str]] = frozenset({"detector", "segmenter", "text_encoder"})
    engine: Literal["packages", "transformers"] = "packages"
    vocabulary: Vocabulary = Field(
        default_factory=lambda: Vocabulary.model_validate("prompts13"), validate_default=True
    )
    detector: str = "groundingdino_swint_ogc"
    segmenter: str = "sam_vit_h"
    text_encoder: str = "bert-base-uncased"  # the engine `transformers` has it in the detector
    box_threshold: float = Field(default=0.25, ge=0, le=1)  # a box's best token
    text_threshold: float = Field(default=0.25, ge=0, le=1)  # a box's best prompt
    nms_iou: float = Field(default=0.8, gt=0, le=1)  # across prompts; 1: none, as published
    overlap: Overlap = "score"
    uncovered: Literal["ignore", "background"] = "ignore"
    short_side_px: int = Field(default=800, ge=32)  # of the image that the detector sees
    max_side_px: int = Field(default=1333, ge=32)
    precision: Literal["float16", "bfloat16", "float32"] = "float16"  # on CPUs always float32

    @model_validator(mode="after")
    def _has_room(self) -> "GroundedSam":
        if self.uncovered == "background" and BACKGROUND in self.vocabulary.class_names:
            raise ValueError("uncovered='background' needs a vocabulary without that class")
        return self

    @property
    def identity(self) -> str:
        """Settings, version and weights together, wherever the weights lie.

        Published weights are known without reading them, so a machine that only trains needs
        none. The text encoder is part of the detector where the engine is `transformers`.
        """
        weights = [identity(self.detector), identity(self.segmenter)]
        if self.engine == "packages":
            weights.append(identity(self.text_encoder))
        return self.identity_of(*weights)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that prompts mean; before them the background if it is one."""
        names = self.vocabulary.class_names
        return (BACKGROUND, *names) if self.uncovered == "background" else names

    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        """Load both networks; raise UserError for packages or weights that are not there."""
        from olivine.foundation.torchvision_ops import ensure_torchvision
        from olivine.labellers.grounded_sam.labeller import GroundedSamLabeller

        ensure_torchvision()
        # No half precision on CPUs: few have the instructions, and some operators are missing.
        dtype = torch.float32 if device.type == "cpu" else getattr(torch, self.precision)
        texts = self.vocabulary.texts
        if self.engine == "packages":
            from olivine.foundation.grounding_dino import GroundingDinoDetector, load_grounding_dino
            from olivine.foundation.sam import SamSegmenter, load_sam

            model = load_grounding_dino(self.detector, self.text_encoder)
            detector = GroundingDinoDetector(model, texts, device, dtype)
            segmenter = SamSegmenter(load_sam(self.segmenter), device, dtype)
            return GroundedSamLabeller(self, detector, segmenter, device)
        from olivine.foundation.hugging_face import HuggingFaceDetector, HuggingFaceSegmenter

        return GroundedSamLabeller(
            self,
            HuggingFaceDetector(self.detector, texts, device, dtype),
            HuggingFaceSegmenter(self.segmenter, device, dtype),
            device,
        )
