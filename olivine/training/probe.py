"""The probe within a pretraining: the score of a linear classifier on the current features.

It takes seconds where the evaluation takes minutes: a ridge regression (`olivine.training.ridge`)
on a fixed sample of training frames. It ranks pretrainings while they run and sees no validation
scene.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from olivine.core.collectives import sum_over_workers
from olivine.core.devices import autocast
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.batch import Batch
from olivine.data.dataset import Frames
from olivine.data.loader import validation_batches
from olivine.data.records import Sample
from olivine.data.samples import Samples, make_cloud
from olivine.data.schedule import one_pass
from olivine.tracking.tracker import Run
from olivine.training.checkpoints import Checkpoints
from olivine.training.config import PretrainConfig
from olivine.training.ridge import RowSums, best_miou, ridge_classifiers
from olivine.training.segmentation import confusion
from olivine.training.worker import Worker

PROBE_MIOU = "probe_miou"
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
# Between equal weights of rows (0) and of classes (1). It was chosen from 0, 0.25, 0.5, 0.75 and 1
# because it ranked 22 runs (eleven methods, two seeds, a world of seed 101) most like their linear
# probes: Spearman 0.94, against 0.91, 0.92, 0.89 and 0.89.
BALANCE = 0.5
BATCH_FRAMES = 2  # per forward pass, which takes little memory without gradients


@dataclass(frozen=True)
class PretrainingProbe:
    """Scores a backbone on training scenes, the same ones in every run on that data.

    Every worker takes its share of the frames and gets the same score. The training is not changed:
    modes, running statistics and random states are restored.
    """

    backbone: nn.Module
    config: PretrainConfig
    worker: Worker
    every_epochs: int
    samples: Samples
    num_classes: int
    fitted: Sequence[int]  # frames, of other scenes than those of `scored`
    scored: Sequence[int]

    @classmethod
    def open(
        cls,
        config: PretrainConfig,
        runtime: Runtime,
        worker: Worker,
        backbone: nn.Module,
        frames: Frames,
    ) -> "PretrainingProbe":
        """Return the probe of a runtime.

        Raises UserError if the data set has no point labels or fewer than two scenes.
        """
        fitted, scored = probe_frames(frames.scenes(), runtime.probe_frames)
        samples = Samples(LabelledScans(frames), [], 0, runtime.loader_cache_mb * 1_000_000)
        samples[0, fitted[0]]  # so that missing labels are reported before the first step
        num_classes, every = len(frames.class_names), runtime.probe_every_epochs
        return cls(backbone, config, worker, every, samples, num_classes, fitted, scored)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Return the result of `measure` if it is due after this epoch, as after the last one."""
        due = epoch % self.every_epochs == 0 or epoch == self.config.num_epochs
        return self.measure() if due else {}

    def measure(self) -> dict[str, float]:
        """Return the mIoU in percent with the best of the penalties, and the time in seconds.

        The mIoU is over all points of the scored frames, each of which has its voxel's class.
        """
        began, device = time.monotonic(), self.worker.device
        self.backbone.to(device)  # without an epoch the module has not been moved yet
        sums = RowSums.empty(self.num_classes, self.config.backbone.num_channels, device)
        shape = len(PENALTIES), self.num_classes, self.num_classes
        counts = torch.zeros(shape, dtype=torch.long, device=device)
        with _undisturbed(self.backbone, device):
            for rows, batch in self._rows(self.fitted):
                assert batch.class_ids is not None
                sums.add(rows, batch.class_ids[batch.voxels.kept_point])
            classifiers = ridge_classifiers(sums.over_workers(), PENALTIES, balance=BALANCE)
            for rows, batch in self._rows(self.scored):
                assert batch.class_ids is not None
                predicted = classifiers.predict(rows)[:, batch.voxels.voxel_of_point]
                counts += torch.stack(
                    [confusion(batch.class_ids, each, self.num_classes) for each in predicted]
                )
        score = best_miou(sum_over_workers(counts))
        return {PROBE_MIOU: score, "probe_s": time.monotonic() - began}

    def conclude(
        self, checkpoints: Checkpoints, run: Run, num_steps: int, last_step: int
    ) -> dict[str, Tensor] | None:
        """Log the best score and its epoch; return that epoch's backbone to the first worker.

        A pretraining with no step left (`num_steps` is 0) may have no score of its weights yet;
        they are measured then.
        """
        if num_steps == 0:
            kept = checkpoints.scores().get(last_step)
            found = self.measure() if kept is None else {PROBE_MIOU: kept}
            run.log_metrics({f"pretrain/{name}": value for name, value in found.items()}, last_step)
            if self.worker.rank == 0:
                checkpoints.record_score(last_step, found[PROBE_MIOU])
        if self.worker.rank > 0:
            return None
        best = checkpoints.best()
        step = best["step"] if best else last_step  # without an epoch nothing was saved
        score = checkpoints.scores()[step]
        epoch = self.config.num_epochs * step // last_step if last_step else 0
        best_of = {f"pretrain/best_{PROBE_MIOU}": score, "pretrain/best_probe_epoch": epoch}
        run.log_metrics(best_of, last_step)
        if best is None:
            return self.backbone.state_dict()
        names = {name: name.removeprefix("backbone.") for name in best["module"]}
        return {short: best["module"][name] for name, short in names.items() if short != name}

    def _rows(self, indices: Sequence[int]) -> Iterator[tuple[Tensor, Batch]]:
        """Yield the features of this worker's share of the frames, batch by batch."""
        share = one_pass(len(indices), BATCH_FRAMES, self.worker.rank, self.worker.world_size)
        batch_keys = [[(0, indices[position]) for _, position in batch] for batch in share]
        for batch in validation_batches(self.samples, batch_keys, self.config.voxels, 0):
            here = batch.to(self.worker.device)
            with autocast(self.worker.device, self.config.precision):
                rows = self.backbone(here.voxels)
            yield rows, here


@dataclass(frozen=True)
class LabelledScans:
    """Reads one scan with its true classes."""

    frames: Frames

    def __call__(self, index: int) -> Sample:
        """Return a frame's scan; raise UserError if it has no classes."""
        frame = self.frames.frame(index, images=False)
        if frame.class_ids is None:
            raise UserError(
                f"Frame {frame.token} of {self.frames.root} has no point labels, and the probe "
                "within pretraining needs them: unpack the data set's lidarseg files, or set "
                "runtime.probe_every_epochs=0."
            )
        return make_cloud(frame)


def probe_frames(scenes: Sequence[str], num_frames: int) -> tuple[list[int], list[int]]:
    """Return the frames to fit on and the frames to score on, from alternate scenes.

    They are spread evenly over as many scenes as possible, and evenly within each. `scenes` has the
    scene of each frame of the split. Raises UserError for a single scene.
    """
    members: dict[str, list[int]] = {}
    for index, scene in enumerate(scenes):
        members.setdefault(scene, []).append(index)
    if len(members) < 2:
        raise UserError(
            "The probe within pretraining fits on some scenes and scores on others, and the split "
            f"has only {next(iter(members), 'no scene')}: choose a larger split, or set "
            "runtime.probe_every_epochs=0."
        )
    by_scene = list(members.values())
    chosen = [by_scene[position] for position in _spread(len(by_scene), num_frames)]
    halves: tuple[list[int], list[int]] = [], []
    for number, frames in enumerate(chosen):
        share = num_frames // len(chosen) + (number < num_frames % len(chosen))
        halves[number % 2].extend(frames[position] for position in _spread(len(frames), share))
    return halves


def _spread(length: int, number: int) -> list[int]:
    """Return `number` positions of a sequence, or all of them, at equal distances."""
    number = min(number, length)
    return [(2 * i + 1) * length // (2 * number) for i in range(number)]


@contextmanager
def _undisturbed(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Set the network to eval mode, without gradients; restore modes and random states after."""
    modes = [(module, module.training) for module in network.modules()]
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        network.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
