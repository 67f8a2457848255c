"""ResNet-50 image networks, and the layouts in which their self-supervised weights are published.

He et al., CVPR 2016. The network is torchvision's; with `dilated` the strides of its last three
stages become dilations, so its map has a fourth of the image's sides instead of a thirty-second
(METHOD 3.4). Positions that both have are equal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from olivine.errors import UserError
from olivine.foundation.torchvision_ops import ensure_torchvision
from olivine.weights import load_state, read_state

NUM_CHANNELS = 2048
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FIRST = "conv1.weight"  # by which a backbone is found in a file
FIRST_SHAPE = (64, 3, 7, 7)
# Of several backbones in one file, the one that was to be kept: MoCo's query encoder, MoCo-v3's
# base encoder, DINO's teacher; then whatever is nearest to the top.
PREFERRED = ("encoder_q", "base_encoder", "teacher")
NESTED = ("state_dict", "network", "teacher", "model")  # where files keep their tensors


class ResNet50(nn.Module):
    """From uint8 (images, 3, rows, columns) to features, without pooling and classifier."""

    mean: Tensor
    std: Tensor

    def __init__(self, *, dilated: bool, dtype: torch.dtype = torch.float32):
        super().__init__()
        ensure_torchvision()
        from torchvision.models import resnet50

        network = resnet50(weights=None, replace_stride_with_dilation=[dilated] * 3)
        network.fc = nn.Identity()
        self.network = network.to(memory_format=torch.channels_last)
        self.dtype = dtype
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD)[:, None, None])

    def forward(
        self, images: UInt8[Tensor, "images 3 rows columns"]
    ) -> Float[Tensor, "images 2048 r c"]:
        """Return the last stage's map, in `dtype`."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        half = self.dtype != torch.float32
        with torch.autocast(images.device.type, self.dtype, enabled=half):
            net = self.network
            x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
            return net.layer4(net.layer3(net.layer2(net.layer1(x)))).to(self.dtype)


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
    tensors = dict(_tensors(state, ""))
    firsts = [
        name
        for name, tensor in tensors.items()
        if (name == FIRST or name.endswith(f".{FIRST}")) and tuple(tensor.shape) == FIRST_SHAPE
    ]
    if not firsts:
        raise UserError(
            f"{path} does not hold weights of ResNet-50: no tensor {FIRST} of shape {FIRST_SHAPE} "
            f"is among its {len(tensors)} tensors"
            + (f" (such as {next(iter(tensors))})." if tensors else ".")
        )
    prefix = min(firsts, key=_rank)[: -len(FIRST)]
    kept = {
        name[len(prefix) :]: tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix) and name[len(prefix) :].startswith(("conv1", "bn1", "layer"))
    }
    # Files of older torch lack the number of batches, which a frozen network never asks for.
    for name in [name for name in kept if name.endswith("running_mean")]:
        counter = name.replace("running_mean", "num_batches_tracked")
        kept.setdefault(counter, torch.zeros((), dtype=torch.long))
    return kept


def _tensors(node: Mapping[str, Any], prefix: str) -> Any:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping) and key in NESTED:
            yield from _tensors(value, f"{name}.")


def _rank(name: str) -> tuple[int, int]:
    parts = name.split(".")
    for place, wanted in enumerate(PREFERRED):
        if wanted in parts:
            return place, len(parts)
    return len(PREFERRED), len(parts)
