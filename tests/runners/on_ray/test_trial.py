"""What a trial of a sweep says of its end; nothing here needs a running Ray."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.scenes import OVERLAP_TAG
from olivine.experiments.sweep import Trial
from olivine.experiments.sweep_plan import GAVE_UP
from olivine.runners.on_ray.trial import TAKEN_AWAY, TrialJob, run_trial, tune_config
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import FAILURE, StoppedError
from tests.support.sweep_driver import Experiment


class DiedError(ActorDiedError):
    """As Ray raises it where it knows the cause."""

    def __init__(self, cause: str):
        super().__init__()
        self.cause = cause

    def __str__(self) -> str:
        return self.cause


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(), "KILLED"),
        (DiedError(f"Destroying worker since {TAKEN_AWAY}."), "KILLED"),
        (DiedError("The node died."), "FAILED"),
    ],
)
def test_a_trial_that_tune_ends_is_given_up_and_one_that_breaks_has_failed(
    error: BaseException, status: str, tmp_path: Path
) -> None:
    def end(*_: object) -> dict[str, float]:
        raise error

    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri(), cache=str(tmp_path / "cache"))
    tracker.ensure_store()
    job = TrialJob(end, Experiment, runtime, tracker, ("miou",), "a sweep's run")
    sent = tune_config(Trial("row", 0, Experiment(), "print"))
    with pytest.raises(StoppedError if status == "KILLED" else ActorDiedError):
        run_trial(sent, job)
    (run,) = tracker.records("trial")
    assert run.status == status
    assert run.tags[FAILURE].startswith(GAVE_UP) == (status == "KILLED")


def test_a_trial_has_its_marks_and_no_earlier_score_where_they_are_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, float]] = []
    monkeypatch.setattr("olivine.runners.on_ray.trial.tune.report", told.append)
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri(), cache=str(tmp_path / "cache"))
    tracker.ensure_store()

    def refused(config: Experiment) -> dict[str, str]:
        raise UserError("It learns from what it scores.")

    def job(tags_of: Callable[[Experiment], dict[str, str]]) -> TrialJob:
        return TrialJob(
            lambda *_: {"miou": 9.0}, Experiment, runtime, tracker, ("miou",), "", tags_of=tags_of
        )

    sent = tune_config(Trial("row", 0, Experiment(), "print"))
    run_trial(sent, job(lambda config: {OVERLAP_TAG: "train has 1 of the 2 scenes of val"}))
    (run,) = tracker.records("trial")
    assert run.tags[OVERLAP_TAG] == "train has 1 of the 2 scenes of val"
    with pytest.raises(UserError, match="learns from what it scores"):
        run_trial(sent, job(refused))
    assert told == [{"miou": 9.0}]
