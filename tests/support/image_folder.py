"""A data set that is a folder of images, and labellers whose answers are known beforehand."""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from olivine.core.errors import UserError
from olivine.data.dataset import Dataset, Frames
from olivine.data.records import IGNORE, Frame
from olivine.labels.labeller import ImageLabeller, Labeller


@dataclass(frozen=True)
class FolderFrames:
    root: Path
    fingerprint: str = "f01de4"
    class_names: tuple[str, ...] = ("dark", "bright")
    camera_names: tuple[str, ...] = ("CAM",)

    def __len__(self) -> int:
        return 0

    def tokens(self) -> Sequence[str]:
        return []

    def scenes(self) -> Sequence[str]:
        return []

    def image_names(self) -> Sequence[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*.jpg"))

    def read_image(self, name: str) -> np.ndarray:
        try:
            with Image.open(self.root / name) as image:
                return np.array(image.convert("RGB"))
        except OSError as error:
            raise UserError(f"Cannot read {name}: {error}.") from None

    def later(self, index: int, num_keyframes: int) -> int:
        raise IndexError(index)

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        raise IndexError(index)


class Folder(Dataset):
    def open_at(self, root: Path, cache_dir: Path) -> Frames:
        return FolderFrames(root)


FINGERPRINT = Folder().open("nowhere", Path("nowhere")).fingerprint  # of any folder's frames


class Threshold(Labeller):
    """Bright pixels are 1, dark ones 0, black ones nothing; every call is written to a log."""

    log: str = ""
    seconds: float = 0.0
    stop_after: int = 0  # images after which it is interrupted
    refuse_mean: int = 300  # images brighter than this raise
    num_fitting: int = 0  # images of a batch above which memory is short; 0: any number fits
    missing: str = ""  # why it cannot be loaded
    bright_id: int = 1
    cut_rows: int = 0  # rows that its maps lack
    diary: str = ""  # a line per image: process, whether it had a map already, name
    maps: str = ""  # where the diary looks for maps

    @property
    def identity(self) -> str:  # where it logs and how it is disturbed changes no label
        return "0ddba11"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("dark", "bright")

    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        if self.missing:
            raise UserError(self.missing)
        return _ThresholdLabeller(self)


class _ThresholdLabeller:
    def __init__(self, settings: Threshold):
        self.settings = settings
        self.num_seen = 0

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        if 0 < self.settings.num_fitting < len(images):
            raise torch.OutOfMemoryError(f"{len(images)} images do not fit")
        time.sleep(self.settings.seconds)
        if self.settings.diary:
            self._note(names)
        return [self._label(image) for image in images]

    def _note(self, names: Sequence[str]) -> None:
        maps = Path(self.settings.maps)
        with Path(self.settings.diary).open("a") as diary:
            for name in names:
                had_map = (maps / name).with_suffix(".png").exists()
                diary.write(f"{os.getpid()} {int(had_map)} {name}\n")

    def _label(self, image: np.ndarray) -> np.ndarray:
        self.num_seen += 1
        if self.settings.stop_after and self.num_seen > self.settings.stop_after:
            raise KeyboardInterrupt
        grey = image.mean(axis=2)
        if grey.mean() > self.settings.refuse_mean:
            raise ValueError("too bright")
        ids = ((grey > 127) * self.settings.bright_id).astype(np.uint8)[self.settings.cut_rows :]
        grey = grey[self.settings.cut_rows :]
        ids[grey < 2] = IGNORE
        if self.settings.log:
            with Path(self.settings.log).open("a") as log:
                log.write(content(image) + "\n")
        return ids


def content(image: np.ndarray) -> str:
    """Return what tells an image from the others."""
    return hashlib.sha256(image.tobytes()).hexdigest()[:12]


def write_images(root: Path, num_images: int, num_cameras: int = 2) -> list[str]:
    """Write small images of two sizes, all different, and return their names."""
    rng = np.random.default_rng(0)
    names = []
    for index in range(num_images):
        name = f"samples/CAM_{index % num_cameras}/image-{index:03d}.jpg"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (12, 20, 3) if index % 3 else (9, 16, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path, quality=95)
        names.append(name)
    return sorted(names)


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
