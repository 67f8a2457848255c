"""A frozen ResNet-50: the teacher of PPKT, SLidR, ST-SLidR, Seal and OLIVINE (METHOD 3.4).

The papers' weights are MoCo-v2's of 800 epochs on ImageNet (`moco_v2_800ep_pretrain.pth.tar` of
its authors); SwAV's, DINO's, oBoW's and torchvision's files are read as well.
"""

from typing import ClassVar, Literal

import torch
from torch import nn

from olivine.errors import UserError
from olivine.foundation.resnet import NUM_CHANNELS, load_resnet50
from olivine.network_parts import Teacher
from olivine.weights import identity, locate


class ResNet50Teacher(Teacher):
    """Settings: `weights` is the path of a file, known by its content wherever it lies.

    `dilated` gives a map at a fourth of the image's sides, as SLidR and OLIVINE have it, for 18
    times the work; without, a thirty-second (PPKT). `precision` counts on a GPU; on a CPU it is
    always float32.
    """

    places: ClassVar[frozenset[str]] = frozenset({"weights"})
    weights: str = ""
    dilated: bool = True
    precision: Literal["float32", "float16", "bfloat16"] = "float32"

    @property
    def num_channels(self) -> int:
        """Channels of the features."""
        return NUM_CHANNELS

    @property
    def identity(self) -> str:
        """The SHA-256 of the weights; raise UserError if there are none."""
        self._require_weights()
        return identity(self.weights)

    def build(self) -> nn.Module:
        """Load the network; raise UserError for a file that is not there or is another's."""
        self._require_weights()
        dtype = getattr(torch, self.precision) if torch.cuda.is_available() else torch.float32
        return load_resnet50(locate(self.weights), dilated=self.dilated, dtype=dtype)

    def _require_weights(self) -> None:
        if not self.weights:
            raise UserError(
                "teacher.kind=resnet50 needs a file of weights, such as MoCo-v2's "
                "moco_v2_800ep_pretrain.pth.tar: --set pretrained.teacher.weights=PATH."
            )
