"""The one training loop: exact resume, and the same logged values for any number of workers."""

import math
import resource
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, nullcontext

import torch
from torch import Tensor, nn

from olivine.core.collectives import sum_over_workers
from olivine.core.devices import Precision, autocast, tf32_products
from olivine.core.errors import UserError
from olivine.core.hashing import seeded
from olivine.core.progress import Progress, Report
from olivine.data.batch import Batch
from olivine.data.schedule import Schedule
from olivine.methods.matched import StepPart
from olivine.tracking.tracker import Run
from olivine.training.checkpoints import Checkpoints
from olivine.training.optimisers.base import Optimiser, set_rates
from olivine.training.worker import Worker

LOG_EVERY = 10  # steps between logged losses; the first and the last step are always logged

# Metrics of the time that a training took until a step, over all starts of its run.
WALL_S, DEVICE_HOURS = "wall_s", "device_hours"


def device_hours_of(metrics: Mapping[str, float]) -> float:
    """Return a run's device-hours from its logged metrics."""
    return sum(value for name, value in metrics.items() if name.endswith(f"/{DEVICE_HOURS}"))


LossOf = Callable[[Batch, int, StepPart], tuple[Tensor, dict[str, Tensor]]]  # batch, step, part


class Clock:
    """The time that a run has taken over all its starts, whatever its number of workers."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()
        self._before = {WALL_S: 0.0, DEVICE_HOURS: 0.0}

    def resume(self, taken: dict[str, float]) -> None:
        """Add the time that earlier starts took."""
        self._begin_s, self._before = time.monotonic(), taken

    def taken(self, num_workers: int) -> dict[str, float]:
        """Return wall-clock seconds, and the hours of all workers' devices."""
        now_s = time.monotonic() - self._begin_s
        return {
            WALL_S: self._before[WALL_S] + now_s,
            DEVICE_HOURS: self._before[DEVICE_HOURS] + now_s * num_workers / 3600,
        }


class TrainingHooks:
    """The steps that a stage adds to the loop; a method that is not overridden does nothing."""

    best_by = ""  # the measured value by whose maximum a checkpoint is kept as the best

    def state_metrics(self) -> dict[str, Tensor]:
        """Return scalars to log beside the losses."""
        return {}

    def end_epoch(self) -> None:
        """Act on all workers when an epoch's last step is done, before its state is saved."""

    def measure(self, epoch: int) -> dict[str, float]:
        """Return values measured after an epoch (counted from 1), to be logged and reported."""
        return {}

    def before_save(self) -> None:
        """Act on all workers before the first one saves a checkpoint."""

    def check(self) -> None:
        """Raise UserError if the state after an epoch, or of a checkpoint, must not be used."""


class Trainer:
    """Trains one module with one optimiser, and resumes from its newest checkpoint.

    `name` is the prefix of every metric. A checkpoint holds the state of `module`; `wrapped` is the
    module as the worker wraps it. `loss_of` returns a batch's loss and its terms; `batches`
    returns, from a step on, every part of every step. `optimiser` was built by `settings`, which
    also give its learning rates. `precision` is that of the networks' products; losses are in
    float32. `save_every` is the number of steps between checkpoints within an epoch; 0 saves only
    at the ends of epochs.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        wrapped: nn.Module,
        *,
        loss_of: LossOf,
        batches: Callable[[int], Generator[Batch, None, None]],
        settings: Optimiser,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        worker: Worker,
        precision: Precision = "float32",
        save_every: int = 0,
        hooks: TrainingHooks | None = None,
    ):
        self.name, self.module, self.wrapped = name, module, wrapped
        self.loss_of, self.batches = loss_of, batches
        self.settings, self.optimiser = settings, optimiser
        self.schedule, self.worker = schedule, worker
        self.precision, self.save_every = precision, save_every
        self.hooks = hooks or TrainingHooks()
        self.clock = Clock()
        # Gradients in float16 vanish unless the loss is scaled up; the others need no scale.
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=precision == "float16")

    def train(self, checkpoints: Checkpoints, run: Run, report: Report | None = None) -> int:
        """Train from the newest checkpoint to the end; return the number of steps done now."""
        start = self._resume(checkpoints)
        self.hooks.check()
        if start == self.schedule.steps_per_epoch * self.schedule.num_epochs:
            return 0
        report = report or Progress(self.name, "steps")
        with closing(self.batches(start)) as batches:
            return self._train_steps(batches, start, checkpoints, run, report) - start

    def _train_steps(
        self,
        batches: Iterator[Batch],
        step: int,
        checkpoints: Checkpoints,
        run: Run,
        report: Report,
    ) -> int:
        """Train from a step on; return the last step."""
        schedule = self.schedule
        total_steps = schedule.steps_per_epoch * schedule.num_epochs
        while step < total_steps:
            epochs = schedule.steps_per_epoch, schedule.num_epochs
            set_rates(self.optimiser, self.settings.rate_share(step, *epochs))
            losses = self._step(batches, step, checkpoints)
            step += 1
            ends_epoch = step % schedule.steps_per_epoch == 0
            if step % LOG_EVERY == 0 or step in (1, total_steps):
                run.log_metrics(self._named(losses, step), step)
            report(step, total_steps)
            if ends_epoch:
                self.hooks.end_epoch()
                epoch = step // schedule.steps_per_epoch
                measured = self.hooks.measure(epoch)
                if measured:
                    run.log_metrics({f"{self.name}/{k}": v for k, v in measured.items()}, step)
                run.flush()  # metrics before the state, so that no step's metrics are lost
                self._save(step, checkpoints, measured.get(self.hooks.best_by))
                self.hooks.check()
                loss = {f"{self.name}/loss": losses["loss"], "epoch": epoch}
                self.worker.report({**loss, **measured})
            elif self.save_every and step % self.save_every == 0:
                run.flush()
                self._save(step, checkpoints)
        return step

    def _step(
        self, batches: Iterator[Batch], step: int, checkpoints: Checkpoints
    ) -> dict[str, float]:
        """Update the weights once; return the losses, means over the parts and the workers."""
        self.optimiser.zero_grad(set_to_none=True)
        # Random layers (stochastic depth) draw the same after a resume, and differ by worker.
        torch.manual_seed(seeded(self.schedule.seed, "layers", step, self.schedule.rank))
        num_parts = self.schedule.num_parts
        parts = [
            self._part(next(batches), step, StepPart(index, num_parts), checkpoints)
            for index in range(num_parts)
        ]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return {name: sum(part[name] for part in parts) / num_parts for name in parts[0]}

    def _part(
        self, batch: Batch, step: int, part: StepPart, checkpoints: Checkpoints
    ) -> dict[str, float]:
        """Add the gradient of one part's share of the loss; the last part exchanges gradients."""
        device = self.worker.device
        exchanged_later = None if part.is_last else getattr(self.wrapped, "no_sync", None)
        with exchanged_later() if exchanged_later else nullcontext():
            with autocast(device, self.precision):
                total, values = self.loss_of(batch.to(device), step, part)
            stacked = torch.stack([total, *values.values()]).detach()
            means = (sum_over_workers(stacked) / self.worker.world_size).tolist()
            losses = dict(zip(["loss", *values], means, strict=True))
            if not all(map(math.isfinite, means)):
                raise UserError(_not_finite(self.name, step, losses, checkpoints))
            with tf32_products(allowed=False):
                self.scaler.scale(total / part.count).backward()
        return losses

    def _named(self, losses: dict[str, float], step: int) -> dict[str, float]:
        rate, taken = self.optimiser.param_groups[0]["lr"], self._taken()
        epoch = (step - 1) // self.schedule.steps_per_epoch
        states = self.hooks.state_metrics()
        watched = (
            torch.stack([value.double() for value in states.values()]).tolist() if states else []
        )
        return {
            **{f"{self.name}/{name}": value for name, value in losses.items()},
            f"{self.name}/lr": rate,
            f"{self.name}/epoch": epoch,
            **{f"{self.name}/{name}": value for name, value in taken.items()},
            f"{self.name}/step_s": taken[WALL_S] / step,  # a mean that includes loading
            **self._memory(),
            **{f"{self.name}/{name}": value for name, value in zip(states, watched, strict=True)},
        }

    def _taken(self) -> dict[str, float]:
        return self.clock.taken(self.worker.world_size)

    def _memory(self) -> dict[str, float]:
        """Return the peak memory of this process, and that of tensors on its GPU."""
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        peaks = {f"{self.name}/peak_memory_gb": peak_bytes / 1e9}
        if self.worker.device.type == "cuda":
            peak_bytes = torch.cuda.max_memory_allocated(self.worker.device)
            peaks[f"{self.name}/peak_gpu_memory_gb"] = peak_bytes / 1e9
        return peaks

    def _resume(self, checkpoints: Checkpoints) -> int:
        state = checkpoints.latest(self.worker.device)
        self._require_same_step(int(state["step"]) if state else 0)
        if state is None:
            return 0
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.clock.resume(state["taken"])
        return int(state["step"])

    def _require_same_step(self, step: int) -> None:
        """Raise UserError on every worker if they go on from different steps.

        One of them may not have been able to read the newest checkpoint.
        """
        steps = torch.tensor([step, step**2], dtype=torch.int64, device=self.worker.device)
        total, squares = sum_over_workers(steps).tolist()
        if squares * self.worker.world_size != total**2:
            raise UserError(
                f"The workers of {self.name} found different checkpoints, this one that of step "
                f"{step}: see which file one of them could not read, and start again."
            )

    def _save(self, step: int, checkpoints: Checkpoints, score: float | None = None) -> None:
        self.hooks.before_save()
        if self.worker.rank == 0:
            checkpoints.save(
                step,
                {
                    "step": step,
                    "module": self.module.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "taken": self._taken(),
                },
                score,
            )


def _not_finite(name: str, step: int, losses: dict[str, float], checkpoints: Checkpoints) -> str:
    bad = ", ".join(f"{key}={value}" for key, value in losses.items() if not math.isfinite(value))
    steps = checkpoints.steps()
    kept = (
        f"the checkpoint of step {steps[-1]} is kept" if steps else "no checkpoint was written yet"
    )
    return (
        f"The loss of {name} is not finite at step {step} ({bad}); {kept}. Lower the optimiser's "
        "lr, or look at that step's data."
    )
