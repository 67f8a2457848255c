"""A sweep's trials on Ray Tune: finished trials are kept, missing ones are run.

Tune only schedules trials. The trials come from `olivine.experiments.sweep` and the finished ones
from the run store, and both identify a trial by its fingerprint: Tune's own ids change when an
experiment is restored, and its MLflow callback would then write trials twice. So a sweep that was
killed is continued by the same command, without Tune's restore.
"""

import contextlib
import fcntl
import functools
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import UserCode
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.limits import Limits, Meter
from olivine.experiments.search_points import points_of, taken_tag
from olivine.experiments.sweep import Trial
from olivine.experiments.sweep_plan import (
    GAVE_UP,
    SWEEP,
    SWEEP_RUN,
    SweepPlan,
    require_same_contents,
)
from olivine.runners.on_ray.placement import Placement, require_state_api, trial_placement
from olivine.runners.on_ray.search_queue import SearchQueue
from olivine.runners.on_ray.session import ray_session
from olivine.runners.on_ray.trial import LIMIT, TrialFunction, TrialJob, run_trial
from olivine.runners.on_ray.trial_progress import EPOCH, TrialProgress
from olivine.runners.on_ray.trial_queue import TrialQueue, TrialSource
from olivine.tracking.reused import reused_runs
from olivine.tracking.tracker import (
    FAILURE,
    FINGERPRINT,
    IDENTITY,
    NOTE,
    PARENT,
    Columns,
    Run,
    RunKey,
    RunRecord,
    Tracker,
    best_status_run,
)
from olivine.training.finished_runs import ignoring_finished

Log = Callable[[str], None]

# Tune's files are not the record of a sweep and are never restored; interrupts are handled here.
TUNE_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints a box even at verbosity 0
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # the last report has scores and no probe
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
# They repeat what is logged and stored (failures), or warn that no file is written.
QUIET_LOGGERS = tuple(
    f"ray.tune.{name}"
    for name in ("tune", "execution.tune_controller", "analysis.experiment_analysis")
)
NO_LIMITS = Limits()


@dataclass(frozen=True)
class SweepResult:
    """The trials of a sweep in the store."""

    plan: SweepPlan
    finished: Mapping[str, RunRecord]  # fingerprint -> run
    failures: Mapping[str, str]  # name of the trial -> reason
    num_reused: int  # how many of `finished` had finished before
    gave_up: int = 0  # trials that a search ended early
    limit: str = ""  # the limit that ended it before its last trial
    gpu_hours: float = 0.0  # taken by this call


class _UnfinishedError(UserError):
    """Ends the sweep's run as FAILED, so that the next start opens it again."""


def run_sweep(
    expanded: ExpandedSweep,
    trial_function: TrialFunction,
    runtime: Runtime,
    tracker: Tracker,
    *,
    limits: Limits = NO_LIMITS,
    force: bool = False,
    log: Log = print,
) -> SweepResult:
    """Run the trials that are not finished in the store, and return all trials.

    `trial_function(config, runtime, tracker)` returns the scores; it runs in a process of its own
    and must be importable there. Runs that it opens by its tracker are children of the trial's run,
    which is a child of the sweep's. A failing trial is recorded and does not stop the others.
    `force` runs finished trials, too. `log` gets one sentence per event. Raises UserError if the
    same sweep is already running, if a sweep of the same name has other contents, or if no trial
    could ever be placed.
    """
    sweep, plan = expanded.sweep, expanded.plan
    key = RunKey("sweep", plan.fingerprint())
    tracker = tracker.within("", {}, experiment=plan.name)
    if force:
        runtime = ignoring_finished(runtime)
    with _only_driver(runtime, f"{plan.name}-{key.fingerprint}") as folder:
        sweeps = [run for run in tracker.records("sweep") if run.settings.get("name") == plan.name]
        is_old = any(IDENTITY not in run.tags for run in sweeps)
        require_same_contents(plan, [SweepPlan.read(run) for run in sweeps], is_old=is_old)
        before = _finished(_trials(tracker, plan), runtime)
        missing = [trial for trial in expanded.trials if trial.fingerprint not in before]
        if sweep.search is None:
            num = f"{len(expanded.trials)} trials, {len(before)} of them finished before"
        else:
            num = f"a search of {sweep.search.num_points} points"
        log(f"Sweep {plan.name}: {num}.")
        for sentence in reused_runs("trial", before.values()):
            log(sentence)
        for sentence in () if force else _unused(expanded, missing, tracker):
            log(sentence)
        done = None if force else tracker.finished(key)
        if done and not missing:
            plan = plan.with_found(points_of(done.run_id, tracker))
            return _result(plan, tracker, runtime, len(before))
        tags = {SWEEP: plan.name, NOTE: sweep.question, LIMIT: ""}
        result = None
        with (
            contextlib.suppress(_UnfinishedError),
            tracker.run(key, plan.name, plan, tags) as run,
        ):
            inside = tracker.within(run.run_id, {SWEEP: plan.name, SWEEP_RUN: run.run_id})
            drive = _Drive(expanded, missing, runtime, inside, run, limits, log)
            with _end_stale_runs(tracker, {SWEEP_RUN: run.run_id}, log):
                if missing or sweep.search is not None:
                    drive(trial_function, folder)
            plan = plan.with_found(points_of(run.run_id, tracker, drive.taken))
            result = _result(plan, tracker, runtime, len(before), drive)
            run.log_metrics({"num_trials": float(len(plan.trials))}, step=0)
            run.log_metrics({"num_finished": float(len(result.finished))}, step=0)
            run.log_metrics({"gpu_hours": result.gpu_hours}, step=0)
            if result.limit:
                raise _UnfinishedError(f"It ended before its last trial: {result.limit}.")
            if result.failures:
                num_failed = f"{len(result.failures)} of {len(plan.trials)}"
                raise _UnfinishedError(f"{num_failed} trials failed.")
    assert result is not None
    return result


@dataclass
class _Drive:
    """Runs the missing trials of one sweep."""

    expanded: ExpandedSweep
    missing: Sequence[Trial]
    runtime: Runtime
    tracker: Tracker  # opens runs below the sweep's run
    run: Run  # the sweep's
    limits: Limits
    log: Log
    gpu_hours: float = 0.0
    limit: str = ""  # the limit that was reached
    taken: dict[str, str] = field(default_factory=dict)  # tags for points finished before

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing for Tune's own record, which is never restored."""
        return {}

    def __call__(self, function: TrialFunction, folder: str) -> None:
        """Run the trials; when a limit is reached, running trials end at their next report."""
        os.environ.update(TUNE_SETTINGS)
        for logger in QUIET_LOGGERS:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        search, runtime = self.expanded.sweep.search, self.runtime
        if search is not None and search.stop_on and not runtime.probe_every_epochs:
            runtime = runtime.replace(probe_every_epochs=1)
        # A trial that itself starts Ray Train needs the State API; without it a stopped one blocks
        # the next one for ever.
        with ray_session(runtime, include_dashboard=runtime.num_workers > 1):
            placement = trial_placement(runtime)
            if runtime.num_workers > 1:
                require_state_api()
            meter = Meter(self.limits, placement.devices_per_trial, runtime.usd_per_gpu_hour)
            queue = self._queue(meter)
            metrics = (*(search.goals if search else ()), self.expanded.sweep.metric)
            job = TrialJob(
                function, type(self.expanded.base), runtime, self.tracker,
                tuple(dict.fromkeys(metrics)), self.run.run_id,
                UserCode.of(self.expanded.base, [trial.config for trial in self.missing]),
                self.expanded.tags_of,
            )  # fmt: skip
            progress = TrialProgress(
                self._num_trials(), self.expanded.sweep, self.log, self._failure_of
            )
            root, _, name = folder.rpartition("/")
            run_config = tune.RunConfig(
                name=name,
                storage_path=root,
                verbose=0,
                callbacks=[progress],
                stop=functools.partial(self._must_stop, meter),
            )
            self._fit(functools.partial(run_trial, job=job), queue, placement, run_config)
        self.gpu_hours = meter.gpu_hours()
        self.limit = self.limit or self._cut_short(meter, progress)
        for fingerprint, stop in progress.stopped.items():
            # Most runs ended with their process; a process that was killed at once left its runs
            # open.
            tags = {SWEEP_RUN: self.run.run_id, FINGERPRINT: fingerprint}
            reason = self.limit or f"{GAVE_UP}: {stop}"
            self.tracker.end_stale(tags, "KILLED", reason)
            for run in self.tracker.records("trial", tags):
                self.tracker.end_stale({PARENT: run.run_id}, "KILLED", reason)

    def _queue(self, meter: Meter) -> TrialSource:
        expanded = self.expanded
        if expanded.sweep.search is None:
            works = {expanded.shared_work(trial.config) for trial in self.missing} - {""}
            tags = Columns(settings=(), metrics=())
            pretrained = self.tracker.records("pretrain", fingerprints=works, columns=tags)
            done = _finished(pretrained, self.runtime)
            for sentence in reused_runs("pretraining", done.values()):
                self.log(sentence)
            return TrialQueue(self.missing, expanded.shared_work, meter, done.keys())
        earlier = points_of(self.run.run_id, self.tracker)
        return SearchQueue(
            expanded.sweep, expanded.base, expanded.identify, earlier, meter, take=self._take
        )

    def _take(self, trial: Trial, number: int) -> None:
        """Record a point that another sweep had finished."""
        tag = taken_tag(trial, number)
        self.taken |= tag
        self.run.set_tags(tag)

    def _num_trials(self) -> int:
        search = self.expanded.sweep.search
        return len(self.missing) if search is None else search.num_points

    def _cut_short(self, meter: Meter, progress: TrialProgress) -> str:
        """Return the limit that kept the remaining trials from starting, or ""."""
        reason = meter.no_more_trials()
        return reason if reason and progress.done < self._num_trials() else ""

    def _must_stop(self, meter: Meter, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Return whether a trial that reports must end; log the reason the first time."""
        reason = meter.must_stop()
        if reason and not self.limit:
            self.limit = reason
            self.run.set_tags({LIMIT: reason})
            self.log(f"{reason}: trials end at their next report.")
        return bool(reason)

    def _fit(
        self,
        body: Callable[[Any], None],
        queue: TrialSource,
        placement: Placement,
        run_config: tune.RunConfig,
    ) -> None:
        if placement.grows:  # several pending trials let the cluster grow
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(placement.max_concurrent or 64)
        tune_config = tune.TuneConfig(
            search_alg=queue,
            num_samples=-1,
            scheduler=_halving(self.expanded),
            max_concurrent_trials=placement.max_concurrent or None,
            # A reused process would keep the workers of a trial that was stopped.
            reuse_actors=self.runtime.num_workers == 1,
        )
        trainable = tune.with_resources(body, placement.per_trial)
        tune.Tuner(trainable, tune_config=tune_config, run_config=run_config).fit()

    def _failure_of(self, fingerprint: str) -> str:
        runs = self.tracker.records("trial", {FINGERPRINT: fingerprint})
        return runs[0].tags.get(FAILURE, "") if runs else ""  # Tune learns the reason later


def _halving(expanded: ExpandedSweep) -> Any:
    """Return asynchronous successive halving over a search's epochs, or None."""
    search = expanded.sweep.search
    if search is None or not search.stop_on:
        return None
    num_epochs = int(expanded.base.flatten().get("pretrained.num_epochs", 1))
    return tune.schedulers.ASHAScheduler(
        time_attr=EPOCH,
        metric=search.stop_on,
        mode="max",
        max_t=max(num_epochs, search.min_epochs + 1),
        grace_period=search.min_epochs,
        reduction_factor=search.reduction,
        stop_last_trials=False,  # a trial that reaches the last epoch is evaluated
    )


def _trials(tracker: Tracker, plan: SweepPlan) -> list[RunRecord]:
    """Return the runs of a plan's trials, of any sweep."""
    return tracker.records("trial", fingerprints=list(plan.trials))


def _unused(expanded: ExpandedSweep, missing: Sequence[Trial], tracker: Tracker) -> list[str]:
    """Return why finished evaluations of the missing trials' settings are not reused."""
    found = [reason for trial in missing if (reason := expanded.unused(trial.config, tracker))]
    if not found:
        return []
    others = f" The same holds for {len(found) - 1} more trials." if len(found) > 1 else ""
    return [f"{found[0]}{others}"]


def _finished(records: Iterable[RunRecord], runtime: Runtime) -> dict[str, RunRecord]:
    """Return a finished run of each fingerprint, unless it is to be run again."""
    return {
        fingerprint: run
        for fingerprint, run in best_status_run(records).items()
        if run.status == "FINISHED" and (run.end_s or 0.0) >= runtime.not_before_s
    }


def _result(
    plan: SweepPlan,
    tracker: Tracker,
    runtime: Runtime,
    num_reused: int,
    drive: _Drive | None = None,
) -> SweepResult:
    """Return the result of a plan's trials from the store."""
    records = _trials(tracker, plan)
    found = _finished(records, runtime)
    finished = {
        fingerprint: found[fingerprint] for fingerprint in plan.trials if fingerprint in found
    }
    reasons: dict[str, str] = {}
    for run in records:  # newest first
        reasons.setdefault(run.key.fingerprint, run.tags.get(FAILURE, ""))
    failures, gave_up = {}, 0
    for fingerprint, trial in plan.trials.items():
        if fingerprint in finished:
            continue
        reason = reasons.get(fingerprint, "")
        if reason.startswith(GAVE_UP):
            gave_up += 1
        elif not (drive and drive.limit):
            failures[f"{trial.row}, seed {trial.seed}"] = reason or "It could not be started."
    hours, limit = (drive.gpu_hours, drive.limit) if drive else (0.0, "")
    return SweepResult(plan, finished, failures, num_reused, gave_up, limit, hours)


@contextlib.contextmanager
def _end_stale_runs(tracker: Tracker, tags: Mapping[str, str], log: Log) -> Iterator[None]:
    """End the runs whose processes died: of an earlier start, an interrupt or a crash."""
    for name in tracker.end_stale(tags, "KILLED", "The sweep was killed."):
        log(f"Run {name!r} was left RUNNING by a killed sweep; it is KILLED and runs again.")
    try:
        yield
    except BaseException:
        tracker.end_stale(tags, "KILLED", "The sweep was interrupted.")
        raise
    tracker.end_stale(tags, "FAILED", "Its process died, for example because memory ran out.")


@contextlib.contextmanager
def _only_driver(runtime: Runtime, name: str) -> Iterator[str]:
    """Yield an empty folder for Tune; one process at a time runs a sweep below a local `out`.

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
