"""A frozen DINO or DINOv2 transformer: ScaLR's teacher, and one of SLidR's (method.md §3.4)."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from olivine.core.errors import nearest
from olivine.models.foundation.published_sizes import TRANSFORMERS
from olivine.models.teachers.base import PretrainedTeacher

if TYPE_CHECKING:
    import torch


class VisionTransformerTeacher(PretrainedTeacher):
    """A frozen vision transformer.

    Sides of the crops must be multiples of the patch: 224 x 448 for patches of 14.
    """

    kind: ClassVar[str] = "vit"

    architecture: str = Field(
        default="dinov2_vitl14", description="Name of the architecture, as its authors have it."
    )
    normed: bool = Field(
        default=False,
        description="Whether features are taken behind the last layer norm (DINO), or before it "
        "(ScaLR).",
    )

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in TRANSFORMERS:
            raise ValueError(
                f"must be one of {', '.join(TRANSFORMERS)}.{nearest(name, TRANSFORMERS)}"
            )
        return name

    @property
    def wanted(self) -> str:
        """Whose file it needs, for people."""
        return f"the authors' file of {self.architecture}"

    @property
    def num_channels(self) -> int:
        """Channels of the features."""
        return TRANSFORMERS[self.architecture].num_channels

    def map_size(self, rows_px: int, columns_px: int) -> tuple[int, int]:
        """Return a cell per patch."""
        patch_px = TRANSFORMERS[self.architecture].patch_px
        return rows_px // patch_px, columns_px // patch_px

    def load(self, path: Path, dtype: "torch.dtype") -> "torch.nn.Module":
        """Return the network of a file; raise UserError if it is another's."""
        from olivine.models.foundation.vit import load_vit

        return load_vit(path, self.architecture, normed=self.normed, dtype=dtype)
