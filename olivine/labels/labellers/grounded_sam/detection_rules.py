"""Which of a detector's boxes count, and what becomes of masks that overlap or leave pixels out."""

from typing import Literal

from pydantic import Field

from olivine.core.spec import Spec
from olivine.labels.labellers.grounded_sam.vocabulary import Vocabulary

Overlap = Literal["score", "smallest", "drawn"]


class DetectionRules(Spec):
    """How boxes are chosen, and how their masks become one map of classes."""

    vocabulary: Vocabulary = Field(
        default_factory=lambda: Vocabulary.model_validate("prompts13"),
        validate_default=True,
        description="Prompts and their classes: prompts13, prompts16, a file, or the mapping "
        "itself.",
    )
    box_threshold: float = Field(
        default=0.25, ge=0, le=1, description="Probability that a box's best token must exceed."
    )
    text_threshold: float = Field(
        default=0.25, ge=0, le=1, description="Probability that a box's best prompt must exceed."
    )
    nms_iou: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="IoU with a better box, of any prompt, above which a box is dropped; 1 drops "
        "none, as published.",
    )
    overlap: Overlap = Field(
        default="score",
        description="Whose class a pixel under several masks gets: the best score, the smallest "
        "mask, or, as published, the worst score, which is drawn last.",
    )
    uncovered: Literal["ignore", "background"] = Field(
        default="ignore",
        description="What pixels under no mask get: no class (ignore), or, as published, a first "
        "class of their own (background).",
    )
    short_side_px: int = Field(
        default=800, ge=32, description="Short side (px) of the image that the detector sees."
    )
    max_side_px: int = Field(
        default=1333,
        ge=32,
        description="Largest long side (px) of the image that the detector sees.",
    )
