"""A data set of as many images as a benchmark asks for, and a labeller that takes its time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from olivine.data.dataset import Dataset, Frames
from olivine.data.records import Frame
from olivine.labels.labeller import ImageLabeller, Labeller

CLASS_NAMES = ("dark", "bright")


@dataclass(frozen=True)
class ImagesOfOneFile:
    """Images without scans: many names, as long as nuScenes', and one file behind all of them."""

    root: Path
    num_images: int
    fingerprint: str = "1157ed"
    class_names: tuple[str, ...] = CLASS_NAMES
    camera_names: tuple[str, ...] = ("CAM",)

    def __len__(self) -> int:
        return 0

    def tokens(self) -> Sequence[str]:
        """Return nothing, since there are no scans."""
        return []

    def image_names(self) -> Sequence[str]:
        """Return as many names as were asked for."""
        head, first = "n015-2018-07-24-11-22-45+0800__CAM_FRONT__", 1532402927612460
        return [f"samples/CAM_{i % 6}/{head}{first + i}.jpg" for i in range(self.num_images)]

    def read_image(self, name: str) -> np.ndarray:
        """Decode the file, whatever the name."""
        with Image.open(_path(self.root)) as image:
            return np.asarray(image.convert("RGB"))

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """Refuse, since there are no scans."""
        raise IndexError(index)


class NumberedImages(Dataset):
    """Opens the images of `write_image`."""

    num_images: int

    def open_at(self, root: Path, cache_dir: Path) -> Frames:
        """Return the images."""
        return ImagesOfOneFile(root, self.num_images)


def write_image(root: Path, columns: int, rows: int) -> None:
    """Write the file that every name stands for: blocks of random colours."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (rows // 10 + 1, columns // 10 + 1, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((columns, rows)).save(_path(root), quality=90)


def _path(root: Path) -> Path:
    return root / "image.jpg"


class Sleeper(Labeller):
    """Takes its time over a batch, whatever is in it."""

    seconds: float = 0.0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return two classes."""
        return CLASS_NAMES

    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        """Return the labeller."""
        return self._label

    def _label(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        time.sleep(self.seconds)
        return [(image[..., 1] > 127).astype(np.uint8) for image in images]
