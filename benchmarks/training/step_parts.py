"""What does one step of OLIVINE's pretraining cost, part by part?

    python benchmarks/training/step_parts.py [--frames 4] [--size 0.1,1,0.1] [--threads 2]

Prints seconds by part, peak memory and the size of the batch as JSON; `step_cost.py` runs it for
many settings and says how a step is measured.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.keyframes import (
    KEYFRAMES,
    InTurns,
    KeyframeReader,
    open_keyframes,
    write_labels,
)
from benchmarks.training.marked_step import Step
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.samples import Samples, named
from olivine.experiments.recipes import recipe
from olivine.models.foundation.resnet import ResNet50
from olivine.training.config import PretrainConfig

SMALL, SHRINK = Voxelizer(size=(1.0, 10.0, 1.0)), 8  # of the batch that warms up


def samples_of(data: Path, scratch: Path, config: PretrainConfig) -> tuple[Samples, int]:
    """Return the keyframes as the recipe augments them, and the number of classes."""
    readers, num_classes = [], 0
    for root, frames in open_keyframes(data, scratch):
        labels = write_labels(frames, scratch / root.name / "out")
        num_classes = len(labels.class_names)
        readers.append(KeyframeReader.with_labels(frames, labels))
    return Samples(InTurns(readers), named(config.augmentations), config.seed), num_classes


def places(num_frames: int) -> list[tuple[int, int]]:
    """Return (draw of the augmentations, keyframe) of each frame: keyframes take turns."""
    return [divmod(number, len(KEYFRAMES)) for number in range(num_frames)]


def small(batch: Batch) -> Batch:
    """Return the batch with every eighth row and column of its images."""
    assert batch.pairs.pixel_index is not None
    pixel_index = batch.pairs.pixel_index // torch.tensor([1, SHRINK, SHRINK])
    pairs = replace(batch.pairs, pixel_index=pixel_index)
    return replace(batch, images=batch.images[..., ::SHRINK, ::SHRINK], pairs=pairs)


def one_thread(load: Callable[[], Batch]) -> Callable[[], Batch]:
    """Return the same with one thread, as in a loader process."""

    def loaded() -> Batch:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        batch = load()
        torch.set_num_threads(threads)
        return batch

    return loaded


def measure(given: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Return what a step costs; it must be the only measurement of its process."""
    torch.set_num_threads(given.threads)
    weights = scratch / "resnet50.pt"
    torch.save(ResNet50(dilated=True).network.state_dict(), weights)
    config = recipe("olivine").pretrained.override(
        {
            "teacher.weights": str(weights),
            "voxels.size": given.size,
            "method.terms.compact.loss.warmup_steps": 0,
            "method.terms.compact.loss.freeze": False,
        }
    )
    samples, num_classes = samples_of(given.data, scratch, config)
    step = Step(config, num_classes, given.device, given.recompute)
    keyframes = [samples[place] for place in places(len(KEYFRAMES))]
    step(lambda: small(Collate(SMALL)(keyframes)))
    chosen = places(given.frames)
    batch = step(one_thread(lambda: Collate(config.voxels)([samples[p] for p in chosen])))
    return {
        "seconds": step.account.seconds,
        "peak_bytes": step.account.peak_bytes,
        "peak_part": step.account.peak_part,
        "device_bytes": step.account.device_bytes(),
        "num_voxels": len(batch.voxels.features),
        "num_pairs": len(batch.pairs),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", type=parse_size, default=(0.1, 1.0, 0.1))
    add_options(parser)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(parser.parse_args(), Path(scratch))))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every setting of a sweep has in common."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--recompute", action="store_true", help="the U-Net's activations")


def parse_size(text: str) -> tuple[float, ...]:
    """Return three numbers written with commas."""
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) != 3 or min(numbers) <= 0:
        raise argparse.ArgumentTypeError(f"a size is metres,degrees,metres above 0, not {text}")
    return numbers


if __name__ == "__main__":
    main()
