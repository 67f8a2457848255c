"""What does a trial cost beside its work: Ray Tune, MLflow, Ray Train, and where does it go?

    python benchmarks/runners/trial_overhead.py [--trials 4 16] [--work-s 0.2] [--workers 2]

The same function, which sleeps `--work-s` and logs ten times, is run bare, as runs of an MLflow
store on SQLite, as trials of a sweep over Ray Tune one at a time (`ray_jobs/sweep.py`), and with
`--workers` as a Ray Train of so many inside each trial. Each is run with few and with many trials:
the slope is what one more trial takes, the rest is the start. Printed are both, less the work, and
what each layer adds to the slope.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.sweep import Sweep, expand
from olivine.runners.on_ray.sweep import run_sweep
from olivine.runners.on_ray.train import train_on_ray
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import NullTracker, RunKey, Tracker
from olivine.training.worker import Worker

NUM_LOGGED = 10  # times that a run logs
BARE, TRACKED, TUNED, TRAINED = "bare function", "MLflow", "Tune, MLflow", "Tune, Train, MLflow"


class Work(Spec):
    """What a trial is told."""

    number: int = 0
    work_s: float = 0.2
    seed: int = 0


def work(config: Work, runtime: Runtime, tracker: Tracker) -> Mapping[str, float]:
    """Sleep, and log as a training does."""
    with tracker.run(RunKey("pretrain", config.fingerprint()), "work", config) as run:
        for step in range(NUM_LOGGED):
            time.sleep(config.work_s / NUM_LOGGED)
            run.log_metrics({"pretrain/loss": 1.0 / (step + 1)}, step)
    return {"miou": float(config.number)}


def work_on_workers(config: Work, runtime: Runtime, tracker: Tracker) -> Mapping[str, float]:
    """Do it as Ray Train's first worker."""

    def stage(worker: Worker, tracker: Tracker, report: Report) -> None:
        work(config, runtime, tracker)

    train_on_ray(stage, "work", runtime, tracker)
    return {"miou": float(config.number)}


def in_this_process(tracker: Tracker, num_trials: int, work_s: float) -> None:
    """Run every trial within a run of its own, as a sweep's are."""
    runtime = Runtime(device="cpu")
    for number in range(num_trials):
        config = Work(number=number, work_s=work_s)
        with tracker.run(RunKey("trial", config.fingerprint()), "trial", config) as run:
            run.log_metrics(work(config, runtime, tracker), step=0)


def as_sweep(folder: Path, num_trials: int, work_s: float, num_workers: int) -> None:
    """Run them over Ray, one at a time."""
    runtime = Runtime(
        out=str(folder),
        cache_dir=str(folder / "cache"),
        device="cpu",
        num_workers=num_workers,
        max_concurrent_trials=1,
    )
    tracker = MlflowTracker(runtime.store_uri(), cache=str(folder / "cache"))
    tracker.ensure_store()
    asked = Sweep(
        name="overhead",
        question="What does a trial cost?",
        metric="miou",
        recipe="none",
        rows={f"trial {number}": {"number": number} for number in range(num_trials)},
        seeds=(0,),
        seed_names=("seed",),
    )
    base = Work(work_s=work_s)
    function = work if num_workers == 1 else work_on_workers
    question = ExpandedSweep(asked, expand(asked, base), base)
    outcome = run_sweep(question, function, runtime, tracker, log=str)
    assert len(outcome.finished) == num_trials, outcome.failures


def store_in(folder: Path) -> MlflowTracker:
    """Return a new store, MLflow imported and its tables made."""
    tracker = MlflowTracker(f"sqlite:///{folder}/mlflow.db", cache=str(folder / "cache"))
    tracker.ensure_store()
    in_this_process(tracker, 1, 0.0)
    return tracker


def seconds_of(run: Callable[[Path, int], None], folder: Path, num_trials: int) -> float:
    """Return how long it takes."""
    before_s = time.perf_counter()
    run(folder, num_trials)
    return time.perf_counter() - before_s


def main() -> None:
    """Measure the four, then print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs=2, default=[4, 16])
    parser.add_argument("--work-s", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=2, help="of Ray Train; 1: leave it out")
    given = parser.parse_args()
    few, many = given.trials
    slopes: dict[str, float] = {}

    def tell(name: str, run: Callable[[Path, int], None]) -> None:
        seconds = {}
        for num_trials in (few, many):
            with tempfile.TemporaryDirectory() as folder:
                seconds[num_trials] = seconds_of(run, Path(folder), num_trials)
        per_trial_s = (seconds[many] - seconds[few]) / (many - few)
        slopes[name] = per_trial_s - given.work_s
        start_s = seconds[few] - few * per_trial_s
        print(
            f"{name:20} {1000 * slopes[name]:7.0f} ms a trial beside its work, "
            f"{start_s:5.1f} s at the start and end",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        store_in(Path(folder))  # imports MLflow
    tell(BARE, lambda _, num: in_this_process(NullTracker(), num, given.work_s))
    tell(TRACKED, lambda folder, num: in_this_process(store_in(folder), num, given.work_s))
    tell(TUNED, lambda folder, num: as_sweep(folder, num, given.work_s, 1))
    if given.workers > 1:
        tell(TRAINED, lambda folder, num: as_sweep(folder, num, given.work_s, given.workers))
    shares = [
        f"{1000 * (slopes[after] - slopes[before]):.0f} ms {what}"
        for what, before, after in (
            ("MLflow", BARE, TRACKED),
            ("Tune and its process", TRACKED, TUNED),
            ("Train", TUNED, TRAINED),
        )
        if after in slopes
    ]
    print("of it: " + ", ".join(shares))


if __name__ == "__main__":
    main()
