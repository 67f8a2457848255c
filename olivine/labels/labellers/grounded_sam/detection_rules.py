"""Which of a detector's boxes count, and what becomes of masks that overlap or leave pixels out."""

from typing import Literal

from pydantic import Field

from olivine.core.spec import Spec
from olivine.labels.labellers.grounded_sam.vocabulary import Vocabulary

Overlap = Literal["score", "smallest", "drawn"]


class DetectionRules(Spec):
    """Settings of what is looked for and of what counts.

    Pixels under no mask get no class; the published codes make them a class of their own,
    `uncovered="background"`, the first of the vocabulary.
    """

    vocabulary: Vocabulary = Field(
        default_factory=lambda: Vocabulary.model_validate("prompts13"), validate_default=True
    )
    box_threshold: float = Field(default=0.25, ge=0, le=1)  # a box's best token
    text_threshold: float = Field(default=0.25, ge=0, le=1)  # a box's best prompt
    nms_iou: float = Field(default=0.8, gt=0, le=1)  # across prompts; 1: none, as published
    overlap: Overlap = "score"
    uncovered: Literal["ignore", "background"] = "ignore"
    short_side_px: int = Field(default=800, ge=32)  # of the image that the detector sees
    max_side_px: int = Field(default=1333, ge=32)
