"""A sweep's trials over Ray Tune: what is finished is kept, what is missing is run.

Tune only places trials. Which there are was decided by `olivine.sweep.expand`, which are done by
the store of runs, and both know a trial by its fingerprint: Tune's own ids change when an
experiment is restored, and its MLflow callback would then write trials twice. So a sweep that
was killed goes on by the same command, without Tune's restore.
"""

import contextlib
import fcntl
import functools
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from olivine.buckets import is_bucket
from olivine.config import Runtime
from olivine.errors import UserError
from olivine.sweep import Sweep, SweepPlan, Trial
from olivine.tracking import FAILURE, FINGERPRINT, RunKey, RunRecord, Tracker
from ray_jobs.session import ray_session

TrialFunction = Callable[[Any, Runtime, Tracker], Mapping[str, float]]
Say = Callable[[str], None]
SWEEP, SWEEP_RUN = "olivine.sweep", "olivine.sweep_run"  # tags of every run below a sweep's
ROW, SEED = "olivine.row", "olivine.seed"

# Tune's files are not our record, nothing is restored from them; an interrupt is ours to handle.
TUNE_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints a box even where it is told to be quiet
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
# They repeat at length what our lines and the store say: what failed, and that no file is kept.
QUIET_LOGGERS = tuple(
    f"ray.tune.{name}"
    for name in ("tune", "execution.tune_controller", "analysis.experiment_analysis")
)


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep left in the store."""

    plan: SweepPlan
    finished: Mapping[str, RunRecord]  # fingerprint -> run
    failures: Mapping[str, str]  # name of the trial -> reason
    num_reused: int  # of `finished`, how many were there before


class _TrialsFailedError(UserError):
    """Ends the sweep's run as FAILED, so that the next start opens it again."""


def run_sweep(
    sweep: Sweep,
    trials: Sequence[Trial],
    trial_function: TrialFunction,
    runtime: Runtime,
    tracker: Tracker,
    *,
    say: Say = print,
) -> SweepOutcome:
    """Run the trials that the store does not hold as finished; return all of them.

    `trial_function(config, runtime, tracker)` returns the scores; it runs in a process of its own
    and must be importable there. Runs that it opens by its tracker are children of the trial's,
    which is a child of the sweep's. A failing trial is recorded and does not stop the others.
    Raises UserError if the same sweep is running already or no trial could ever be placed.
    """
    plan = SweepPlan.of(sweep, trials)
    key = RunKey("sweep", plan.fingerprint())
    with _only_driver(runtime, f"{plan.name}-{key.fingerprint}") as folder:
        before = _finished(plan, tracker)
        missing = [trial for trial in trials if trial.fingerprint not in before]
        say(f"Sweep {plan.name}: {len(trials)} trials, {len(before)} of them finished before.")
        if not missing and tracker.finished(key):
            return SweepOutcome(plan, before, {}, len(before))
        after, failures = before, dict[str, str]()
        tags = {SWEEP: plan.name, "mlflow.note.content": sweep.question}
        with (
            contextlib.suppress(_TrialsFailedError),
            tracker.run(key, plan.name, plan, tags) as run,
        ):
            inside = tracker.within(run.run_id, {SWEEP: plan.name, SWEEP_RUN: run.run_id})
            with _no_run_left_running(tracker, {SWEEP_RUN: run.run_id}, say):
                if missing:
                    named = {trial.fingerprint: trial for trial in missing}
                    job = _Job(named, trial_function, runtime, inside, plan.metric)
                    _run_trials(job, folder, say)
            after = _finished(plan, tracker)
            failures = _failures(plan, after, tracker)
            run.log_metrics({"num_trials": float(len(trials))}, step=0)
            run.log_metrics({"num_finished": float(len(after))}, step=0)
            if failures:
                raise _TrialsFailedError(f"{len(failures)} of {len(trials)} trials failed.")
    return SweepOutcome(plan, after, failures, len(before))


def _run_trials(job: "_Job", folder: str, say: Say) -> None:
    os.environ.update(TUNE_SETTINGS)
    for logger in QUIET_LOGGERS:
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    root, _, name = folder.rpartition("/")
    # A trial that itself starts Ray Train needs the State API, or a stopped one blocks the next.
    with ray_session(job.runtime, include_dashboard=job.runtime.num_workers > 1):
        resources, concurrent = _placement(job.runtime)
        tune.Tuner(
            tune.with_resources(functools.partial(_trial_body, job=job), resources),
            param_space={"fingerprint": tune.grid_search(list(job.trials))},
            tune_config=tune.TuneConfig(max_concurrent_trials=concurrent, reuse_actors=True),
            run_config=tune.RunConfig(
                name=name, storage_path=root, verbose=0, callbacks=[_Progress(job, say)]
            ),
        ).fit()


@dataclass(frozen=True)
class _Job:
    """What every trial's process is sent."""

    trials: Mapping[str, Trial]  # by fingerprint
    function: TrialFunction
    runtime: Runtime
    tracker: Tracker
    metric: str


def _trial_body(point: Mapping[str, str], job: _Job) -> None:
    """Run one trial in its process and leave its scores in the store."""
    trial = job.trials[point["fingerprint"]]
    key = RunKey("trial", trial.fingerprint)
    record = job.tracker.finished(key)  # another sweep may have finished it meanwhile
    if record is not None:
        scores = record.metrics
    else:
        tags = {ROW: trial.row, SEED: str(trial.seed)}
        with job.tracker.run(key, trial.name, trial.config, tags) as run:
            scores = job.function(trial.config, job.runtime, job.tracker.within(run.run_id, {}))
            run.log_metrics(scores, step=0)
    tune.report({"score": scores.get(job.metric, float("nan"))})


class _Progress(tune.Callback):
    """One line per trial: how many are done, what it scored or why it failed, time left."""

    def __init__(self, job: _Job, say: Say):
        self._job, self._say = job, say
        self._start_s, self._done = 0.0, 0

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Count from here: Ray's own start says nothing about the trials."""
        self._start_s = self._start_s or time.monotonic()

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Tell the score."""
        self._tell(trial, f"{self._job.metric} {trial.last_result.get('score', float('nan')):.4g}")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Tell why it failed."""
        known = {FINGERPRINT: trial.config["fingerprint"]}
        runs = self._job.tracker.records("trial", known)  # Tune itself knows it only later
        reason = runs[0].tags.get(FAILURE) if runs else None
        self._tell(trial, f"failed: {reason or 'its process died'}")

    def _tell(self, trial: Any, outcome: str) -> None:
        self._done += 1
        per_trial_s = (time.monotonic() - self._start_s) / self._done
        left_s = per_trial_s * (len(self._job.trials) - self._done)
        self._say(
            f"{self._done}/{len(self._job.trials)} trials, {60 / per_trial_s:.3g} per minute, "
            f"{left_s:.0f} s left. {self._job.trials[trial.config['fingerprint']].name}: {outcome}"
        )


def _placement(runtime: Runtime) -> tuple[dict[str, float], int]:
    """Return what a trial reserves and how many run at once; 0 leaves that to the cluster."""
    cluster = ray.cluster_resources()
    grows = bool(runtime.ray_address or os.environ.get("RAY_ADDRESS"))  # may have no worker yet
    gpus = cluster.get("GPU", 0.0)
    use_gpu = runtime.device == "cuda" or (runtime.device == "auto" and gpus > 0)
    if use_gpu and gpus < runtime.gpus_per_trial and not grows:
        raise UserError(
            f"A trial asks for {runtime.gpus_per_trial:g} GPUs and this machine has {gpus:g}; "
            "lower gpus_per_trial or set device=cpu."
        )
    resources = {"CPU": 1.0, **({"GPU": runtime.gpus_per_trial} if use_gpu else {})}
    fitting = [int(cluster.get(name, 0.0) / need) for name, need in resources.items() if need]
    return resources, runtime.max_concurrent_trials or (0 if grows else max(1, min(fitting)))


def _finished(plan: SweepPlan, tracker: Tracker) -> dict[str, RunRecord]:
    """Return the newest finished run of every trial that has one, in the plan's order."""
    newest_last = reversed(tracker.records("trial"))
    runs = {run.key.fingerprint: run for run in newest_last if run.status == "FINISHED"}
    return {fingerprint: runs[fingerprint] for fingerprint in plan.trials if fingerprint in runs}


def _failures(
    plan: SweepPlan, finished: Mapping[str, RunRecord], tracker: Tracker
) -> dict[str, str]:
    runs = {run.key.fingerprint: run for run in reversed(tracker.records("trial"))}
    failures = {}
    for fingerprint, trial in plan.trials.items():
        if fingerprint not in finished:
            tags = runs[fingerprint].tags if fingerprint in runs else {}
            reason = tags.get(FAILURE, "It could not be started.")
            failures[f"{trial.row}, seed {trial.seed}"] = reason
    return failures


@contextlib.contextmanager
def _no_run_left_running(tracker: Tracker, tags: Mapping[str, str], say: Say) -> Iterator[None]:
    """End the runs whose processes died: of an earlier start, of an interrupt, of a crash."""
    for name in tracker.end_stale(tags, "KILLED", "The sweep was killed."):
        say(f"Run {name!r} was left RUNNING by a killed sweep; it is KILLED and runs again.")
    try:
        yield
    except BaseException:
        tracker.end_stale(tags, "KILLED", "The sweep was interrupted.")
        raise
    tracker.end_stale(tags, "FAILED", "Its process died, for example for want of memory.")


@contextlib.contextmanager
def _only_driver(runtime: Runtime, name: str) -> Iterator[str]:
    """Yield an empty folder for Tune; let one driver at a time run a sweep below a local `out`.

    The lock ends with its process, however that ends. A bucket has no locks.
    """
    if is_bucket(runtime.out):
        yield f"{runtime.out.rstrip('/')}/sweeps/{name}"
        return
    folder = runtime.out_path("sweeps", name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"The sweep {name} is running already (its lock is {folder}.lock); wait for it, "
                "or end that process."
            ) from None
        shutil.rmtree(folder, ignore_errors=True)
        yield str(folder)


if __name__ == "__main__":
    from olivine.cli import main

    sys.exit(main(["sweep", *sys.argv[1:]]))
