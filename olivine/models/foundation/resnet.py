"""ResNet-50 image networks, and the layouts in which their self-supervised weights are published.

He et al., CVPR 2016. The network is torchvision's; with `dilated` the strides of its last three
stages become dilations, so its map has a fourth of the image's sides instead of a thirty-second
(method.md §3.4). Positions that both have are equal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from olivine.models.foundation.backbone_files import find_backbone
from olivine.models.foundation.image_input import ImageNetwork
from olivine.models.foundation.torchvision_ops import ensure_torchvision
from olivine.models.weights import load_state, read_state

FIRST = "conv1.weight"


class ResNet50(ImageNetwork):
    """From uint8 (images, 3, rows, columns) to features, without pooling and classifier."""

    def __init__(self, *, dilated: bool, dtype: torch.dtype = torch.float32):
        ensure_torchvision()
        from torchvision.models import resnet50

        network = resnet50(weights=None, replace_stride_with_dilation=[dilated] * 3)
        network.fc = nn.Identity()
        super().__init__(network.to(memory_format=torch.channels_last), dtype)

    def features(self, pixels: Float[Tensor, "n 3 rows columns"]) -> Float[Tensor, "n 2048 r c"]:
        """Return the last stage's map."""
        net = self.network
        x = net.maxpool(net.relu(net.bn1(net.conv1(pixels))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def load_resnet50(path: Path, *, dilated: bool, dtype: torch.dtype = torch.float32) -> ResNet50:
    """Return the network with the weights of a file.

    Raises UserError for a file without a ResNet-50, or of which a tensor is missing.
    """
    model = ResNet50(dilated=dilated, dtype=dtype)
    load_state(model.network, backbone_state(read_state(path), path), path, "ResNet-50")
    return model.eval()


def backbone_state(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Return the backbone's tensors by torchvision's names, from any of the published layouts.

    Known are torchvision's own, MoCo v2 and v3, SwAV, DINO (backbone alone and whole checkpoint),
    oBoW, and others that put a prefix before the same names. Projection heads, prototypes, queues
    and momentum copies are left out.
    """
    kept = find_backbone(
        state, path, architecture="ResNet-50", first=FIRST, keeps=("conv1.", "bn1.", "layer")
    )
    # Files of older torch lack the number of batches, which a frozen network never asks for.
    for name in [name for name in kept if name.endswith("running_mean")]:
        counter = name.replace("running_mean", "num_batches_tracked")
        kept.setdefault(counter, torch.zeros((), dtype=torch.long))
    return kept
