"""One step of a pretraining by the trainer's own code, with marks between its parts."""

import os
import resource
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import torch
from torch import Tensor

from olivine.core.storage import Store
from olivine.data.batch import Batch
from olivine.data.schedule import Schedule
from olivine.models.activation_checkpointing import recompute_activations
from olivine.training.checkpoints import Checkpoints
from olivine.training.config import PretrainConfig
from olivine.training.loop import Trainer
from olivine.training.pretrained_networks import build_model, loss_function
from olivine.training.worker import LocalWorker

PARTS = ("teacher", "U-Net backward", "U-Net forward", "objective", "loading", "optimiser")
RISE = 1.01  # less is the allocator's, and not a new peak


class Account:
    """Seconds by part of one step, and the part in which memory last rose.

    On a GPU a mark is an event in the device's queue, so that marking does not wait: a part's time
    is that between the device's arrivals at two marks, and `host_seconds` that between the marks of
    this process, which may be far ahead.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.is_open = True  # whether marks are made
        self.is_alone = not self.on_gpu and torch.get_num_threads() == 1
        self.peak_bytes, self.peak_part = self._peak_bytes(), "start"
        self.begin()

    def begin(self) -> None:
        """Start from nothing; the peak of memory stays."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
        self._marks: list[tuple[str, float, torch.cuda.Event | None]] = []
        self._add("")

    def mark(self, part: str) -> None:
        """Put the time since the last mark to this part's account."""
        if not self.is_open:
            return
        self._add(part)
        peak_bytes = self._peak_bytes()
        if peak_bytes > RISE * self.peak_bytes:
            self.peak_part = part
        self.peak_bytes = max(self.peak_bytes, peak_bytes)

    @property
    def seconds(self) -> dict[str, float]:
        """The time of each part, on the device that computes; it waits for the device."""
        if not self.on_gpu:
            return self.host_seconds
        torch.cuda.synchronize(self.device)
        return self._summed(lambda a, b: a[2].elapsed_time(b[2]) / 1e3)

    @property
    def host_seconds(self) -> dict[str, float]:
        """The time of each part in this process."""
        return self._summed(lambda a, b: b[1] - a[1])

    def device_bytes(self) -> int:
        """Return how much memory there is at all."""
        if self.on_gpu:
            return torch.cuda.get_device_properties(self.device).total_memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def _add(self, part: str) -> None:
        event = None
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
        now_s = time.process_time() if self.is_alone else time.perf_counter()
        self._marks.append((part, now_s, event))

    def _summed(self, between: Callable[[tuple, tuple], float]) -> dict[str, float]:
        seconds = dict.fromkeys(PARTS, 0.0)
        for last, mark in zip(self._marks, self._marks[1:], strict=False):
            seconds[mark[0]] += between(last, mark)
        return seconds

    def _peak_bytes(self) -> int:
        if self.on_gpu:
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Step:
    """A step of the trainer on the networks, the loss and the optimiser of a configuration."""

    def __init__(
        self, config: PretrainConfig, num_classes: int, device: str, recompute: bool = False
    ):
        worker = LocalWorker(device)
        self.model = build_model(config, num_classes, worker.device)
        if recompute:
            recompute_activations(self.model.backbone, config.backbone.kind)
        wrapped = worker.wrap(self.model.train())
        loss_of = loss_function(wrapped, config, worker)
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = config.optimiser.build([{"params": trainable}])
        self.trainer = Trainer(
            "step",
            self.model,
            wrapped,
            loss_of=loss_of,
            batches=lambda _: self._loaded(),
            settings=config.optimiser,
            optimiser=optimiser,
            schedule=Schedule(config.batch_frames, config.batch_frames, 1, config.seed),
            worker=worker,
            precision=config.precision,
        )
        self.account = Account(worker.device)
        assert self.model.teacher is not None
        mark = self.account.mark
        self.model.register_forward_pre_hook(lambda *_: mark("loading"))
        self.model.backbone.register_forward_hook(self._after_backbone)
        self.model.teacher.register_forward_hook(lambda *_: mark("teacher"))
        optimiser.register_step_pre_hook(lambda *_: mark("U-Net backward"))

    def _after_backbone(self, _: object, __: object, rows: Tensor) -> None:
        """Mark here, and again when the gradient comes back from the objective."""
        self.account.mark("U-Net forward")
        rows.register_hook(lambda _: self.account.mark("objective"))

    def _loaded(self) -> Generator[Batch, None, None]:
        self.account.mark("optimiser")  # the gradients are cleared
        self._batch = self._load()
        yield self._batch

    def __call__(self, load: Callable[[], Batch], *, marked: bool = True) -> Batch:
        """Load a batch, take one step and return the batch as it was loaded.

        A step that is not `marked` is the trainer's alone.
        """
        self._load, self.account.is_open = load, marked
        if marked:
            self.account.begin()
        nowhere = Checkpoints(Store(Path(tempfile.gettempdir())), "no-checkpoints-of-a-step")
        self.trainer._step(self._loaded(), 0, nowhere)
        self.account.mark("optimiser")
        return self._batch
