"""A small frozen image network of fixed filters: no weights to download, the same everywhere.

It is used where no pretrained image network is available, as in the demo: colour, local contrast
and oriented edges at several scales, mixed by fixed random units. Its features describe the
appearance around a pixel, never the pixel's class.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

SCALES_PX = (1, 3, 7, 15)  # widths of the averaging windows at stride 4
NUM_ORIENTATIONS = 4
SEED = 20240531  # of the random units; part of the network, not a setting


class FilterBank(nn.Module):
    """A network from uint8 (images, 3, rows, columns) to (images, D, rows / 4, columns / 4)."""

    units: Tensor
    offsets: Tensor

    def __init__(self, num_channels: int):
        super().__init__()
        num_filters = len(SCALES_PX) * (3 + 3 + NUM_ORIENTATIONS)
        generator = torch.Generator().manual_seed(SEED)
        units = torch.randn(num_channels, num_filters, generator=generator)
        self.register_buffer("units", units / math.sqrt(num_filters))
        self.register_buffer("offsets", torch.randn(num_channels, generator=generator) * 0.5)

    @torch.no_grad()
    def forward(
        self, images: UInt8[Tensor, "images 3 rows columns"]
    ) -> Float[Tensor, "images D r c"]:
        """Return features at stride 4."""
        rgb = F.avg_pool2d(images.float() / 255.0, 2)
        red, green, blue = rgb.unbind(dim=1)
        opponent = torch.stack(
            [2 * (rgb.mean(dim=1) - 0.5), 4 * (red - green), 2 * (2 * blue - red - green)], dim=1
        )
        edges = _oriented_edges(opponent[:, :1])
        base, square, edges = (F.avg_pool2d(x, 2) for x in (opponent, opponent**2, edges))
        rows = []
        for width in SCALES_PX:
            mean, power, edge = (_box(x, width) for x in (base, square, edges))
            contrast = (power - mean**2).clamp(min=0).sqrt()
            rows += [mean, 4 * contrast, 8 * edge]
        filters = torch.cat(rows, dim=1)
        mixed = torch.einsum("df,nfrc->ndrc", self.units, filters)
        return F.relu(mixed + self.offsets[:, None, None])


def _oriented_edges(light: Float[Tensor, "n 1 r c"]) -> Float[Tensor, "n orientations r c"]:
    padded = F.pad(light, (1, 1, 1, 1), mode="replicate")
    dx = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    dy = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    angles = [math.pi * k / NUM_ORIENTATIONS for k in range(NUM_ORIENTATIONS)]
    return torch.cat([(dx * math.cos(a) + dy * math.sin(a)).abs() for a in angles], dim=1)


def _box(x: Float[Tensor, "n k r c"], width: int) -> Float[Tensor, "n k r c"]:
    """Average over a square window, columns first and then rows, the same for less work."""
    if width == 1:
        return x
    half = width // 2
    x = F.pad(x, (half, half, half, half), mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(x, (1, width), stride=1), (width, 1), stride=1)
