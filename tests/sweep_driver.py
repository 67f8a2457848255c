"""A sweep of short trials, started as a process of its own so that it can be killed.

Trials are found by their processes as `sweep_driver.run_trial`: this folder must be importable.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from olivine.config import Runtime
from olivine.mlflow_tracker import MlflowTracker
from olivine.spec import Spec
from olivine.sweep import Question, Sweep, expand
from olivine.tracking import RunKey, Tracker
from ray_jobs.trial import TuneWorker


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
    with tracker.run(RunKey("pretrain", config.fingerprint()), "steps", config.pretrained) as run:
        for step in range(config.num_steps):
            run.log_metrics({"loss": 1 / (step + 1)}, step)
            time.sleep(config.step_s)
        if Path(runtime.out, "broken").exists():
            raise OSError("This machine is broken.")
        if config.behaviour == "raise":
            raise ValueError("This row cannot work.")
        if config.behaviour == "die":
            os._exit(1)
    return {"miou": 100 * config.pretrained.rate + config.seed}


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


def main() -> None:
    runtime = Runtime(out=sys.argv[1], cache_dir=f"{sys.argv[1]}/cache", device="cpu")
    asked = sweep({f"rate {i}": {"pretrained.rate": i / 10} for i in range(5)}, seeds=(0, 1))
    tracker = MlflowTracker(runtime.store_uri(), "short")
    from ray_jobs.sweep import run_sweep

    question = Question(asked, expand(asked, Experiment()), Experiment())
    outcome = run_sweep(
        question, run_trial, runtime, tracker, say=lambda text: print(text, flush=True)
    )
    print(f"reused {outcome.num_reused} finished {len(outcome.finished)}", flush=True)
