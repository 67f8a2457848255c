"""A small labeller that comes with the package, for the demo and for tests.

It replaces the foundation model (Grounded-SAM, SEEM) of a real run: it sees one RGB image at a
time, was trained on other worlds than those that it labels (`tools/train_embedded_labeller.py`) and
makes mistakes of its own. It was trained on synthetic streets alone; on photographs its labels mean
little.

The network is a fully convolutional encoder and decoder with separable residual blocks (Chollet,
"Xception", CVPR 2017) and a U-Net's skip connections (Ronneberger et al., MICCAI 2015).
"""

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.data.class_names import WEAK_B
from olivine.data.records import IGNORE

NUM_OUTPUTS = len(WEAK_B) + 1  # the last is the background: the sky and everything without a class
WORKING_ROWS = 192  # images are scaled to this height, at which the network was trained


class EmbeddedLabeller:
    """The loaded network with its threshold."""

    def __init__(self, network: "SmallSegmenter", min_confidence: float, device: torch.device):
        self.network = network
        self.min_confidence = min_confidence
        self.device = device

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return class ids, IGNORE where the background wins or no class is likely enough.

        It takes one image and one thread at a time, because the order of a float sum depends on
        both, and a label must not depend on other images of the batch or on the number of cores.
        """
        with torch.inference_mode(), _one_thread():
            return [self._label(image) for image in images]

    def _label(self, image: np.ndarray) -> np.ndarray:
        # A copy, because arrays that come from a shared object store cannot be written.
        pixels = torch.from_numpy(image.copy()).to(self.device).permute(2, 0, 1)[None]
        logits = self.network(working_image(pixels))
        logits = F.interpolate(logits, size=image.shape[:2], mode="bilinear", align_corners=False)
        confidence, ids = logits[0].softmax(dim=0).max(dim=0)
        unsure = (ids == len(WEAK_B)) | (confidence < self.min_confidence)
        return ids.masked_fill(unsure, IGNORE).to(torch.uint8).cpu().numpy()


class SmallSegmenter(nn.Module):
    """A network from images to class logits at half the working resolution; 130,000 weights."""

    def __init__(self, channels: tuple[int, int, int, int] = (24, 32, 56, 72)):
        super().__init__()
        first, second, third, fourth = channels
        self.to_half = nn.Sequential(_convolution(3, first, stride=2), Separable(first))
        self.to_quarter = nn.Sequential(_convolution(first, second, stride=2), *_blocks(second, 2))
        self.to_eighth = nn.Sequential(_convolution(second, third, stride=2), *_blocks(third, 3))
        self.to_sixteenth = nn.Sequential(
            _convolution(third, fourth, stride=2),
            *(Separable(fourth, dilation) for dilation in (1, 2, 4, 8)),
        )
        self.up = nn.ModuleList(
            [_Up(fourth, third), _Up(third, second), _Up(second, first)],
        )
        self.classify = nn.Conv2d(first, NUM_OUTPUTS, kernel_size=1)

    def forward(
        self, images: Float[Tensor, "images 3 rows columns"]
    ) -> Float[Tensor, "images outputs half_rows half_columns"]:
        """Return logits; images are scaled to about -1..1."""
        levels = [self.to_half(images)]
        for encode in (self.to_quarter, self.to_eighth, self.to_sixteenth):
            levels.append(encode(levels[-1]))
        features = levels.pop()
        for up in self.up:
            features = up(features, levels.pop())
        return self.classify(features)


class Separable(nn.Module):
    """x + pointwise(depthwise(x)), each with normalisation."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.spread = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                kernel_size=3,
                padding=dilation,
                dilation=dilation,
                groups=channels,
                bias=False,
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.mix = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return F.relu(features + self.mix(self.spread(features)))


class _Up(nn.Module):
    """Enlarges a level to the finer one's size and adds that level."""

    def __init__(self, channels: int, finer_channels: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, finer_channels, kernel_size=1)
        self.refine = Separable(finer_channels)

    def forward(self, features: Tensor, finer: Tensor) -> Tensor:
        """Return features of the finer level's shape."""
        coarse = F.interpolate(
            self.reduce(features), size=finer.shape[2:], mode="bilinear", align_corners=False
        )
        return self.refine(finer + coarse)


def working_image(
    images: UInt8[Tensor, "images 3 rows columns"],
) -> Float[Tensor, "images 3 working_rows working_columns"]:
    """Scale images to the working height, keeping their aspect, and to about -1..1."""
    rows, columns = images.shape[2:]
    working = (WORKING_ROWS, max(16, round(columns * WORKING_ROWS / rows)))
    values = images.float() / 127.5 - 1.0
    if working == (rows, columns):
        return values
    return F.interpolate(
        values, size=working, mode="bilinear", align_corners=False, antialias=working[0] < rows
    )


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write the weights as half-precision arrays."""
    arrays = {name: value.numpy().astype(np.float16) for name, value in _stored(state).items()}
    np.savez_compressed(path, **arrays)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of `write_weights` without unpickling; raise UserError if that fails."""
    state = SmallSegmenter().state_dict()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name, value in _stored(state).items():
                state[name] = torch.from_numpy(arrays[name].astype(np.float32)).view_as(value)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"Cannot read the embedded labeller's weights {path}: {error}; reinstall olivine."
        ) from None
    return state


def _stored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # The number of batches is not used after training.
    return {name: value for name, value in state.items() if "num_batches" not in name}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _convolution(num_input: int, num_output: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_input, num_output, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(num_output),
        nn.ReLU(),
    )


def _blocks(channels: int, num_blocks: int) -> list[Separable]:
    return [Separable(channels) for _ in range(num_blocks)]
