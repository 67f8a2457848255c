"""One trial of a sweep, in the process that Ray Tune starts for it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

from olivine.core.errors import UserError
from olivine.core.loader_share import Machine
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import NO_USER_CODE, UserCode
from olivine.core.spec import Spec
from olivine.core.user_parts import error_of_user_code
from olivine.experiments.expanded_sweep import no_tags
from olivine.experiments.sweep import Trial
from olivine.experiments.sweep_plan import GAVE_UP, POINT, ROW, SEED
from olivine.runners.on_ray.assigned import assigned_machine
from olivine.tracking.tracker import RunKey, StoppedError, Tracker
from olivine.training.finished_runs import find_finished
from olivine.training.worker import LocalWorker

TrialFunction = Callable[[Any, Runtime, Tracker], Mapping[str, float]]
TAKEN_OVER = "taken_over"  # reported by a trial that was finished before
TAKEN_AWAY = "its placement group was removed"  # Ray's message when Tune ended a trial
LIMIT = "olivine.limit"  # tag of a sweep's run: the limit that ended it before its last trial


@dataclass(frozen=True)
class TrialJob:
    """The values that every trial's process gets."""

    function: TrialFunction
    config_type: type[Spec]
    runtime: Runtime
    tracker: Tracker  # opens runs below the sweep's run
    metrics: tuple[str, ...]  # scores that are reported to Tune
    sweep_run: str
    code: UserCode = NO_USER_CODE  # user code of the trials' parts
    tags_of: Callable[[Any], Mapping[str, str]] = no_tags  # marks of a configuration's run


def tune_config(trial: Trial, point: int = 0) -> dict[str, Any]:
    """Return a trial in the form in which Ray Tune sends it to its process."""
    return {
        "fingerprint": trial.fingerprint,
        "row": trial.row,
        "seed": trial.seed,
        "point": point,
        "config": json.dumps(trial.config.to_dict()),
    }


def run_trial(trial_config: Mapping[str, Any], job: TrialJob) -> None:
    """Run one trial and record its scores in the store.

    A trial that is stopped is KILLED; its reason says whether the search stopped it early, or the
    sweep reached a limit, after which it can be continued.
    """
    key = RunKey("trial", trial_config["fingerprint"])
    tags = {
        ROW: trial_config["row"],
        SEED: str(trial_config["seed"]),
        POINT: str(trial_config["point"]),
    }
    name = f"{trial_config['row']}, seed {trial_config['seed']}"
    try:
        job.code.install()
        config = job.config_type.from_dict(json.loads(trial_config["config"]))
        tags |= job.tags_of(config)  # before the score of an earlier run is taken over
    except UserError:
        with job.tracker.run(key, name, Spec(), tags):  # so that the sweep can report the reason
            raise
    # Another sweep may have finished it in the meantime.
    record = find_finished(key, job.runtime, job.tracker, files=())
    if record is not None:
        known = {name: record.metrics.get(name, float("nan")) for name in job.metrics}
        tune.report({**known, TAKEN_OVER: 1.0})
        return
    with job.tracker.run(key, name, config, tags) as run:
        try:
            scores = job.function(config, job.runtime, job.tracker.within(run.run_id, {}))
        except StoppedError as stop:
            raise StoppedError(_limit(job) or f"{GAVE_UP}: {stop}") from None
        except (SystemExit, ray.exceptions.ActorDiedError) as stop:
            # Tune stops a trial that uses Ray Train: the trial gets this error, or finds that its
            # resources are gone, whichever is first.
            if not isinstance(stop, SystemExit) and TAKEN_AWAY not in str(stop):
                raise
            raise StoppedError(_limit(job) or f"{GAVE_UP}: stopped by Tune") from None
        except Exception as error:
            if mistake := error_of_user_code(error):
                raise mistake from error
            raise
        run.log_metrics(scores, step=0)
    tune.report({name: scores.get(name, float("nan")) for name in job.metrics})


def _limit(job: TrialJob) -> str:
    sweeps = job.tracker.records("sweep")
    return next((run.tags.get(LIMIT, "") for run in sweeps if run.run_id == job.sweep_run), "")


class TuneWorker(LocalWorker):
    """A trial's own process, whose reports reach the sweep's scheduler."""

    def machine(self) -> Machine:
        """Return the part of the machine that Ray has assigned to this trial."""
        return assigned_machine()

    def report(self, metrics: Mapping[str, float]) -> None:
        """Report a run's progress to Tune; raise StoppedError if Tune stops the trial."""
        try:
            tune.report({"alive": 1.0, **metrics})
        except SystemExit:  # Tune ends the thread of a stopped trial by it
            found = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            raise StoppedError(found) from None
