"""Trains the weights of olivine/labels/labellers/embedded on synthetic worlds.

    python tools/train_embedded_labeller.py --data /tmp/labeller

Seeds from 1,000,000 on are reserved for this script: worlds of these seeds are never those of a
demo, a test or an experiment, so whoever is labelled by these weights was not seen by them. Pixel
accuracy and mIoU are printed for reserved worlds that were held out.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from olivine.core.progress import Progress
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import read_truth, write_world
from olivine.data.records import IGNORE
from olivine.labels.labellers.embedded.labeller import (
    CLASS_NAMES,
    NUM_OUTPUTS,
    WEIGHTS,
    WORKING_ROWS,
    EmbeddedLabeller,
    SmallSegmenter,
    working_image,
    write_weights,
)
from olivine.labels.quality import Agreement, agreement_of, confusion_of, true_ids

FIRST_TRAINING_SEED = 1_000_000
FIRST_HELD_OUT_SEED = 1_900_000
CROP_PX = (160, 256)
BATCH = 8
LEARNING_RATE = 4e-3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pictures:
    """Images at the working height and their weak classes at half of it."""

    images: Tensor  # uint8 (images, 3, rows, columns)
    classes: Tensor  # int64 (images, rows / 2, columns / 2); the last output is the background


def main() -> None:
    """Write the worlds, train, save and score the network."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    training = _worlds(arguments.data, FIRST_TRAINING_SEED, arguments.worlds)
    held_out = _worlds(arguments.data, FIRST_HELD_OUT_SEED, arguments.held_out_worlds)
    pictures = _read(training)
    print(f"{len(pictures.images)} training images", flush=True)
    network = SmallSegmenter()
    _train(network, pictures, arguments.steps)
    write_weights(arguments.out, network.state_dict())
    for min_confidence in (0.0, 0.5):
        _print_scores(min_confidence, _score(arguments.out, held_out, min_confidence))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder for the worlds")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file of the weights")
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--held-out-worlds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _worlds(data: Path, first_seed: int, num_worlds: int) -> list[Path]:
    """Write the missing worlds, with one keyframe per scene, because neighbours look alike."""
    roots = []
    for seed in range(first_seed, first_seed + num_worlds):
        root = data / f"world-{seed}"
        if not root.exists():
            start = time.monotonic()
            config = WorldConfig(seed=seed, keyframes_per_scene=1, num_firings=40)
            write_world(config, root)
            print(f"world {seed}: {time.monotonic() - start:.0f} s", flush=True)
        roots.append(root)
    return roots


def _image_names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("samples/CAM_*/*.jpg"))


def _weak_ids() -> np.ndarray:
    """Return the network's output of each true class id; no class is the background."""
    from olivine.data.datasets.nuscenes.classes import CLASS_NAMES as TRUE_NAMES

    to_true = true_ids(CLASS_NAMES, TRUE_NAMES)[: len(CLASS_NAMES)]
    lookup = np.full(IGNORE + 1, NUM_OUTPUTS - 1, dtype=np.int64)
    lookup[to_true] = np.arange(len(CLASS_NAMES))
    return lookup


def _read(roots: list[Path]) -> Pictures:
    images, classes = [], []
    to_weak = torch.from_numpy(_weak_ids())
    for root in roots:
        for name in _image_names(root):
            with Image.open(root / name) as picture:
                pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
            scaled = (working_image(pixels) + 1) * 127.5
            images.append(scaled.round().clamp(0, 255).to(torch.uint8))
            truth = torch.from_numpy(read_truth(root, name).astype(np.int64))
            half = (WORKING_ROWS // 2, -(-images[-1].shape[3] // 2))
            nearest = F.interpolate(truth[None, None].float(), size=half, mode="nearest-exact")
            classes.append(to_weak[nearest[0].long()])
    return Pictures(torch.cat(images), torch.cat(classes))


def _train(network: SmallSegmenter, pictures: Pictures, num_steps: int) -> None:
    """Train by AdamW with one cycle; half precision is two to three times as fast on a CPU."""
    generator = torch.Generator().manual_seed(0)
    network.to(memory_format=torch.channels_last)
    weight = _class_weights(pictures)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=num_steps, pct_start=0.1
    )
    say = Progress("train", "steps")
    for step, (images, classes) in zip(
        range(num_steps), _batches(pictures, generator), strict=False
    ):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), classes, weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        say(step + 1, num_steps)
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    network.to(memory_format=torch.contiguous_format).eval()


def _class_weights(pictures: Pictures) -> Tensor:
    """Return class weights that grow less than rarity does, with a mean of 1 over pixels."""
    counts = torch.bincount(pictures.classes.flatten(), minlength=NUM_OUTPUTS).float()
    weight = (counts.sum() / counts.clamp(min=1)).pow(0.4).clamp(max=25.0)
    return weight / ((weight * counts).sum() / counts.sum())


def _batches(pictures: Pictures, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random crops, flipped, scaled in colour and light, with noise."""
    rows, columns = pictures.images.shape[2:]
    while True:
        order = torch.randperm(len(pictures.images), generator=generator)
        for chosen in order.split(BATCH)[: len(order) // BATCH]:
            row, column = (
                2 * int(torch.randint((size - crop) // 2 + 1, (), generator=generator))
                for size, crop in zip((rows, columns), CROP_PX, strict=True)
            )
            images = pictures.images[
                chosen, :, row : row + CROP_PX[0], column : column + CROP_PX[1]
            ]
            classes = pictures.classes[
                chosen,
                row // 2 : (row + CROP_PX[0]) // 2,
                column // 2 : (column + CROP_PX[1]) // 2,
            ]
            if torch.rand((), generator=generator) < 0.5:
                images, classes = images.flip(3), classes.flip(2)
            yield _recolour(images.float() / 127.5 - 1, generator), classes


def _recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(images), *shape, generator=generator)

    images = images * uniform(0.7, 1.3, 1, 1, 1) + uniform(-0.2, 0.2, 1, 1, 1)
    images = images * uniform(0.9, 1.1, 3, 1, 1)
    noise = torch.randn(images.shape, generator=generator)
    return images + noise * uniform(0, 0.06, 1, 1, 1)


def _score(weights: Path, roots: list[Path], min_confidence: float) -> Agreement | None:
    """Label the held-out worlds as the package does and compare with their truth."""
    from olivine.data.datasets.nuscenes.classes import CLASS_NAMES as TRUE_NAMES
    from olivine.labels.labellers.embedded.labeller import read_weights

    network = SmallSegmenter()
    network.load_state_dict(read_weights(weights))
    labeller = EmbeddedLabeller(network.eval(), min_confidence, CPU)
    to_true = true_ids(CLASS_NAMES, TRUE_NAMES)
    confusion = np.zeros((len(TRUE_NAMES), len(TRUE_NAMES) + 1), dtype=np.int64)
    for root in roots:
        for name in _image_names(root):
            with Image.open(root / name) as picture:
                ids = labeller([np.array(picture)])[0]
            confusion += confusion_of(read_truth(root, name), to_true[ids], len(TRUE_NAMES))
    return agreement_of(confusion, TRUE_NAMES)


def _print_scores(min_confidence: float, scores: Agreement | None) -> None:
    assert scores is not None, "held-out worlds have no truth"
    print(
        f"held-out worlds, min_confidence {min_confidence}: pixel accuracy {scores.accuracy:.3f} "
        f"of the labelled, coverage {scores.coverage:.3f}, mIoU {scores.miou:.3f}"
    )
    print("  " + ", ".join(f"{name} {iou:.2f}" for name, iou in scores.iou.items()), flush=True)


if __name__ == "__main__":
    main()
