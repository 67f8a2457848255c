"""The real keyframes that benchmarks read, with random label maps for their images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olivine.data.augmentations.crop_images import CropImages
from olivine.data.augmentations.drop_cuboid import DropCuboid
from olivine.data.augmentations.rotate_flip import RotateFlip
from olivine.data.dataset import Frames
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.pair_labels import PairLabels
from olivine.data.records import Sample
from olivine.data.samples import make_sample
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.store import LabelStore

KEYFRAMES = {"nuscenes_scene0061_keyframe0": "v1.0-mini", "nuscenes_val_fd842039": "v1.0-trainval"}
AUGMENTATIONS = (RotateFlip(), DropCuboid(), CropImages())  # of OLIVINE's pretraining


def open_keyframes(data: Path, cache: Path) -> Iterator[tuple[Path, Frames]]:
    """Yield each keyframe's folder and the data set of one frame that lies there."""
    for name, version in KEYFRAMES.items():
        root = (data / name).resolve()
        yield root, Nuscenes(version=version, split="all").open(root, cache / name)


def write_labels(frames: Frames, out: Path) -> LabelStore:
    """Write a map of random blocks for every image, as large as a real one when compressed."""
    labeller = Embedded()
    store = LabelStore(out, frames.fingerprint, labeller.identity)
    store.begin(labeller)
    generator = np.random.default_rng(0)
    num_classes = len(labeller.class_names)
    for name in frames.image_names():
        blocks = generator.integers(0, num_classes, (18, 32)).astype(np.uint8)
        store.write(name, np.kron(blocks, np.ones((50, 50), np.uint8)))
    return store


@dataclass(frozen=True)
class KeyframeReader:
    """Reads a keyframe with its pairs and, where there are labels, their classes."""

    frames: Frames
    classes: PairLabels | None = None

    @classmethod
    def with_labels(cls, frames: Frames, labels: LabelStore) -> "KeyframeReader":
        """Return a reader that keeps the pairs' classes after the first epoch."""
        return cls(frames, PairLabels(labels.read_for, labels.pair_label_cache()))

    def __call__(self, index: int) -> Sample:
        """Return the keyframe as it is before augmentation, whatever the index."""
        frame = self.frames.frame(0, classes=False)
        return make_sample(frame, self.classes, self.frames.camera_names)


@dataclass(frozen=True)
class InTurns:
    """Reads keyframes in turn, for any number of indices; picklable."""

    readers: Sequence[KeyframeReader]

    def __call__(self, index: int) -> Sample:
        """Return the keyframe whose turn it is."""
        return self.readers[index % len(self.readers)](index)
