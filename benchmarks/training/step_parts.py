"""What does one step of OLIVINE's pretraining cost, part by part?

    python benchmarks/training/step_parts.py [--frames 4] [--size 0.1,1,0.1] [--threads 2]

Prints seconds by part, peak memory and the size of the batch as JSON; `step_cost.py` runs it for
many settings and says how a step is measured.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.keyframes import KEYFRAMES, KeyframeReader, open_keyframes, write_labels
from olivine.data.batch import Batch
from olivine.data.collate import Collate
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import Sample
from olivine.data.samples import Samples, named
from olivine.experiments.recipes import recipe
from olivine.models.activation_checkpointing import recompute_activations
from olivine.models.foundation.resnet import ResNet50
from olivine.training.config import PretrainConfig
from olivine.training.pretrained_networks import build_model, loss_function
from olivine.training.worker import LocalWorker

PARTS = ("teacher", "U-Net backward", "U-Net forward", "objective", "loading", "optimiser")
SMALL, SHRINK = Voxelizer(size=(1.0, 10.0, 1.0)), 8  # of the batch that warms up
RISE = 1.01  # less is the allocator's, and not a new peak


class Account:
    """Seconds by part of one step, and the part in which memory last rose."""

    def __init__(self, device: torch.device):
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.is_alone = not self.on_gpu and torch.get_num_threads() == 1
        self.peak_bytes, self.peak_part = self._peak_bytes(), "start"
        self.begin()

    def begin(self) -> None:
        """Start from nothing; the peak of memory stays."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._last_s = self._now_s()

    def mark(self, part: str) -> None:
        """Put the time since the last mark to this part's account."""
        self.seconds[part] += self._now_s() - self._last_s
        peak_bytes = self._peak_bytes()
        if peak_bytes > RISE * self.peak_bytes:
            self.peak_part = part
        self.peak_bytes = max(self.peak_bytes, peak_bytes)
        self._last_s = self._now_s()

    def device_bytes(self) -> int:
        """Return how much memory there is at all."""
        if self.on_gpu:
            return torch.cuda.get_device_properties(self.device).total_memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def _now_s(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.is_alone else time.perf_counter()

    def _peak_bytes(self) -> int:
        if self.on_gpu:
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Step:
    """The recipe's own networks, loss and optimiser, with marks between their parts."""

    def __init__(self, config: PretrainConfig, num_classes: int, device: str, recompute: bool):
        worker = LocalWorker(device)
        self.model = build_model(config, num_classes, worker.device)
        if recompute:
            recompute_activations(self.model.backbone, config.backbone.kind)
        self.loss_of = loss_function(worker.wrap(self.model.train()), config, worker)
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = config.optimiser.build([{"params": trainable}])
        self.account = Account(worker.device)
        assert self.model.teacher is not None
        self.model.backbone.register_forward_hook(self._after_backbone)
        self.model.teacher.register_forward_hook(lambda *_: self.account.mark("teacher"))

    def _after_backbone(self, _: object, __: object, rows: Tensor) -> None:
        """Mark here, and again when the gradient comes back from the objective."""
        self.account.mark("U-Net forward")
        rows.register_hook(lambda _: self.account.mark("objective"))

    def __call__(self, load: Callable[[], Batch]) -> Batch:
        """Load a batch, take one step and return the batch."""
        account = self.account
        account.begin()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a loader process
        batch = load().to(account.device)
        torch.set_num_threads(threads)
        account.mark("loading")
        self.optimiser.zero_grad(set_to_none=True)
        account.mark("optimiser")
        total, _ = self.loss_of(batch, 0)
        total.backward()
        account.mark("U-Net backward")
        self.optimiser.step()
        account.mark("optimiser")
        return batch


def samples_of(data: Path, scratch: Path, config: PretrainConfig) -> tuple[Samples, int]:
    """Return the keyframes as the recipe augments them, and the number of classes."""
    readers, num_classes = [], 0
    for root, frames in open_keyframes(data, scratch):
        labels = write_labels(frames, scratch / root.name / "out")
        num_classes = len(labels.class_names)
        readers.append(KeyframeReader.with_labels(frames, labels))

    def read(index: int) -> Sample:
        return readers[index](0)

    return Samples(read, named(config.augmentations), config.seed), num_classes


def places(num_frames: int) -> list[tuple[int, int]]:
    """Return (draw of the augmentations, keyframe) of each frame: keyframes take turns."""
    return [divmod(number, len(KEYFRAMES)) for number in range(num_frames)]


def small(batch: Batch) -> Batch:
    """Return the batch with every eighth row and column of its images."""
    assert batch.pairs.pixel_index is not None
    pixel_index = batch.pairs.pixel_index // torch.tensor([1, SHRINK, SHRINK])
    pairs = replace(batch.pairs, pixel_index=pixel_index)
    return replace(batch, images=batch.images[..., ::SHRINK, ::SHRINK], pairs=pairs)


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
    batch = step(lambda: Collate(config.voxels)([samples[place] for place in chosen]))
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
