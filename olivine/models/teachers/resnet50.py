"""A frozen ResNet-50: the teacher of PPKT, SLidR, ST-SLidR, Seal and OLIVINE (method.md §3.4).

The papers' weights are MoCo-v2's of 800 epochs on ImageNet (`moco_v2_800ep_pretrain.pth.tar` of
its authors); SwAV's, DINO's, oBoW's and torchvision's files are read as well.
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.models.foundation.published_sizes import RESNET50_CHANNELS
from olivine.models.teachers.base import PretrainedTeacher

if TYPE_CHECKING:
    import torch


class ResNet50Teacher(PretrainedTeacher):
    """A frozen ResNet-50."""

    kind: ClassVar[str] = "resnet50"

    dilated: bool = Field(
        default=True,
        description="Whether its map has a quarter of the image's sides (SLidR, OLIVINE), for 18 "
        "times the work; otherwise one thirty-second (PPKT).",
    )

    @property
    def wanted(self) -> str:
        """Whose file it needs, for people."""
        return "a file of weights, such as MoCo-v2's moco_v2_800ep_pretrain.pth.tar"

    @property
    def num_channels(self) -> int:
        """Channels of the features."""
        return RESNET50_CHANNELS

    def map_size(self, rows_px: int, columns_px: int) -> tuple[int, int]:
        """Return a fourth of each side, or a thirty-second, rounded up."""
        stride = 4 if self.dilated else 32
        return -(-rows_px // stride), -(-columns_px // stride)

    def load(self, path: Path, dtype: "torch.dtype") -> "torch.nn.Module":
        """Return the network of a file; raise UserError if it is another's."""
        from olivine.models.foundation.resnet import load_resnet50

        return load_resnet50(path, dilated=self.dilated, dtype=dtype)
