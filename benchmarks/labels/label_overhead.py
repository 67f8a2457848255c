"""What Ray costs a labelling job: images per second beside what its actors could do at best.

A labeller that sleeps stands in for a GPU. The ideal is actors × batch / sleep; the job is
everything from `label_on_ray` to its last map on disk: listing, planning, starting the actors,
reading and decoding, labelling, writing, and the look at the labels at the end. Ray's own start is
told apart. Small images by default: two cores cannot decode large ones as fast as two stand-ins
ask for them.

    python benchmarks/labels/label_overhead.py [--batches 520] [--seconds 1] [--size 160x90]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from olivine.core.runtime import Runtime
from olivine.data.dataset import Dataset, Frames
from olivine.data.records import Frame
from olivine.labels.config import LabelConfig
from olivine.labels.labeller import ImageLabeller, Labeller
from olivine.tracking.tracker import NullTracker


@dataclass(frozen=True)
class Pictures:
    """A folder of images, without scans."""

    root: Path
    fingerprint: str = "ove12ead"
    class_names: tuple[str, ...] = ("dark", "bright")
    camera_names: tuple[str, ...] = ("CAM",)

    def __len__(self) -> int:
        return 0

    def tokens(self) -> Sequence[str]:
        """There are no frames."""
        return []

    def image_names(self) -> Sequence[str]:
        """Return every image below the root."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*.jpg"))

    def read_image(self, name: str) -> np.ndarray:
        """Return one image as RGB."""
        with Image.open(self.root / name) as image:
            return np.asarray(image.convert("RGB"))

    def frame(self, index: int, *, images: bool = True, classes: bool = True) -> Frame:
        """There are none."""
        raise IndexError(index)


class PictureFolder(Dataset):
    """Opens them."""

    def open_at(self, root: Path, cache_dir: Path) -> Frames:
        """Return the images."""
        return Pictures(root)


class Sleeper(Labeller):
    """Takes its time over a batch, whatever is in it."""

    seconds: float = 0.5

    @property
    def class_names(self) -> tuple[str, ...]:
        """Two classes."""
        return ("dark", "bright")

    def build(self, device: torch.device, frames: Frames) -> ImageLabeller:
        """Return the labeller."""
        return self._label

    def _label(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        time.sleep(self.seconds)
        return [(image[..., 1] > 127).astype(np.uint8) for image in images]


def main() -> None:
    """Make images, label them and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=520)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one batch")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--size", default="160x90", help="columns x rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="label_overhead") as folder:
        _measure(Path(folder), arguments)


def _measure(folder: Path, arguments: argparse.Namespace) -> None:
    from label_overhead import PictureFolder, Sleeper  # the module, as other processes find it

    from olivine.runners.on_ray.label import label_on_ray
    from olivine.runners.on_ray.session import ray_session

    num_images = arguments.batches * arguments.batch_size
    _write_images(folder / "data", num_images, *map(int, arguments.size.split("x")))
    runtime = Runtime(
        data_root=str(folder / "data"),
        out=str(folder / "out"),
        cache_dir=str(folder / "cache"),
        num_label_actors=arguments.actors,
        min_label_actors=arguments.actors,
        label_batch_size=arguments.batch_size,
    )
    config = LabelConfig(dataset=PictureFolder(), labeller=Sleeper(seconds=arguments.seconds))
    outcomes_s: list[float] = []
    began_s = time.perf_counter()
    with ray_session(runtime):
        ready_s = time.perf_counter()
        result = label_on_ray(
            config, runtime, NullTracker(), lambda *_: outcomes_s.append(time.perf_counter())
        )
        done_s = time.perf_counter()
    assert result.num_labelled == num_images
    ideal = arguments.actors * arguments.batch_size / arguments.seconds
    rate = num_images / (done_s - ready_s)
    print(
        f"{num_images} images of {arguments.size}, {arguments.batches} batches of "
        f"{arguments.seconds:g} s, {arguments.actors} actors"
    )
    print(f"Ray's start                  {ready_s - began_s:7.1f} s (not in the rates)")
    print(f"first image reported after   {outcomes_s[0] - ready_s:7.1f} s")
    print(f"end after the last image     {done_s - outcomes_s[-1]:7.1f} s")
    print(f"whole job                    {done_s - ready_s:7.1f} s")
    print(f"ideal rate                   {ideal:7.2f} images/s")
    print(f"whole job's rate             {rate:7.2f} images/s")
    print(f"ratio                        {rate / ideal:7.3f}")


def _write_images(root: Path, num_images: int, columns: int, rows: int) -> None:
    """Write a few images and link them: only their decoding is of interest."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    pixels = rng.integers(0, 256, (rows // 10 + 1, columns // 10 + 1, 3), dtype=np.uint8)
    first = root / "first.jpg"
    Image.fromarray(pixels).resize((columns, rows)).save(first, quality=90)
    for index in range(1, num_images):
        (root / f"{index:06d}.jpg").hardlink_to(first)


if __name__ == "__main__":
    sys.exit(main())
