"""A sweep of short trials, started as a process of its own so that it can be killed.

Trials are found by their processes as `sweep_driver.run_trial`: this folder must be importable.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ray.tune.integration.ray_train import TuneReportCallback

from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.search_space import Real, Search
from olivine.experiments.sweep import Sweep, expand
from olivine.runners.on_ray.sweep import run_sweep
from olivine.runners.on_ray.train import train_on_ray
from olivine.runners.on_ray.trial import TuneWorker
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey, Tracker
from olivine.training.finished_runs import find_finished
from olivine.training.worker import Worker


class Pretraining(Spec):
    rate: float = 0.1
    num_epochs: int = 4
    seed: int = 0


class Experiment(Spec):
    pretrained: Pretraining = Pretraining()
    behaviour: str = "work"
    num_steps: int = 5
    step_s: float = 0.1
    seed: int = 0


def sweep(rows: Mapping[str, Mapping[str, object]], seeds: tuple[int, ...]) -> Sweep:
    return Sweep(
        name="short",
        question="Does a killed sweep go on?",
        metric="miou",
        recipe="none",
        rows=rows,
        seeds=seeds,
        seed_names=("seed", "pretrained.seed"),
    )


def run_trial(config: Experiment, runtime: Runtime, tracker: Tracker) -> dict[str, float]:
    with Path(runtime.out, "ledger.txt").open("a") as ledger:
        ledger.write(f"{config.pretrained.rate} {config.seed}\n")
    key = RunKey("pretrain", config.fingerprint())
    if find_finished(key, runtime, tracker, files=()) is None:
        pretrain(key, config, runtime, tracker)
    return {"miou": 100 * config.pretrained.rate + config.seed}


def pretrain(key: RunKey, config: Experiment, runtime: Runtime, tracker: Tracker) -> None:
    """Take some steps, or the rest of them: a file is the checkpoint."""
    kept = Path(runtime.out, f"{key.fingerprint}.step")
    first = int(kept.read_text()) if kept.exists() else 0
    with tracker.run(key, "steps", config.pretrained) as run:
        for step in range(first, config.num_steps):
            run.log_metrics({"loss": 1 / (step + 1)}, step)
            time.sleep(config.step_s)
            run.flush()
            replaced = kept.with_suffix(".new")
            replaced.write_text(str(step + 1))
            replaced.rename(kept)
        if Path(runtime.out, "broken").exists():
            raise OSError("This machine is broken.")
        if config.behaviour == "raise":
            raise ValueError("This row cannot work.")
        if config.behaviour == "die":
            os._exit(1)


def search_trial(config: Experiment, runtime: Runtime, tracker: Tracker) -> dict[str, float]:
    """Report a probe after each of four epochs, the better the higher the rate."""
    worker = TuneWorker("cpu")
    with tracker.run(RunKey("pretrain", config.fingerprint()), "steps", config.pretrained):
        for epoch in range(1, 5):
            time.sleep(config.step_s)
            with Path(runtime.out, "ledger.txt").open("a") as ledger:
                ledger.write(f"{config.pretrained.rate} {epoch}\n")
            worker.report({"epoch": epoch, "probe_miou": config.pretrained.rate * epoch})
    return {"miou": 100 * config.pretrained.rate, "hours": config.step_s}


def workers_trial(config: Experiment, runtime: Runtime, tracker: Tracker) -> dict[str, float]:
    """Report as `search_trial` does, from two workers of Ray Train."""

    def stage(worker: Worker, tracker: Tracker, report: Report) -> None:
        with tracker.run(RunKey("pretrain", config.fingerprint()), "steps", config.pretrained):
            for epoch in range(1, config.pretrained.num_epochs + 1):
                worker.report({"epoch": epoch, "probe_miou": config.pretrained.rate * epoch})

    train_on_ray(stage, "steps", runtime, tracker, [TuneReportCallback()])
    return {"miou": 100 * config.pretrained.rate, "hours": 1.0}


def search_over_workers() -> None:
    """Search with trials of two workers each, one trial at a time."""
    runtime = Runtime(
        out=sys.argv[1],
        cache_dir=f"{sys.argv[1]}/cache",
        device="cpu",
        num_workers=2,
        max_concurrent_trials=1,
    )
    space = {"pretrained.rate": Real(low=0.1, high=1.0)}
    search = Search(space=space, num_points=4, stop_on="probe_miou", reduction=2)
    asked = sweep({}, seeds=(0,)).model_copy(update={"search": search})
    tracker = MlflowTracker(runtime.store_uri(), "short")
    outcome = run_sweep(ExpandedSweep(asked, (), Experiment()), workers_trial, runtime, tracker)
    print(f"finished {len(outcome.finished)} gave up {outcome.gave_up}", flush=True)


def main() -> None:
    """Ask for a sweep whose trials take half a second."""
    num_rates = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    runtime = Runtime(out=sys.argv[1], cache_dir=f"{sys.argv[1]}/cache", device="cpu")
    rows = {f"rate {i}": {"pretrained.rate": i / 10} for i in range(num_rates)}
    asked = sweep(rows, seeds=(0, 1))
    tracker = MlflowTracker(runtime.store_uri(), "short")
    question = ExpandedSweep(asked, expand(asked, Experiment()), Experiment())
    outcome = run_sweep(
        question, run_trial, runtime, tracker, log=lambda text: print(text, flush=True)
    )
    print(f"reused {outcome.num_reused} finished {len(outcome.finished)}", flush=True)
