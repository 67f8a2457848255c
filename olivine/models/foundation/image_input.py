"""The input of image networks that were trained on ImageNet."""

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageNetwork(nn.Module):
    """Normalises bytes with ImageNet's mean and deviation, and runs `network` in `dtype`."""

    network: Any  # whatever class its library made: subclasses call that class's own methods
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.network, self.dtype = network, dtype
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD)[:, None, None])

    def forward(self, images: UInt8[Tensor, "n 3 rows columns"]) -> Float[Tensor, "n D r c"]:
        """Return features in `dtype`."""
        pixels = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        half = self.dtype != torch.float32
        with torch.autocast(images.device.type, self.dtype, enabled=half):
            return self.features(pixels).to(self.dtype)

    @abstractmethod
    def features(self, pixels: Float[Tensor, "n 3 rows columns"]) -> Float[Tensor, "n D r c"]:
        """Return the feature map of normalised images."""
