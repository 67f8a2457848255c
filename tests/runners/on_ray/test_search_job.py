"""A search over Ray Tune: hopeless points end early, limits end it cleanly, a restart goes on."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.limits import Limits
from olivine.experiments.search_space import Real, Search
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_plan import GAVE_UP
from olivine.results.tables.build import find_sweep_run, plan_of
from olivine.runners.on_ray.sweep import run_sweep
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support import ROOT
from tests.support.sweep_driver import Experiment, run_trial, search_trial, sweep


def asked(num_points: int, stop_on: str) -> ExpandedSweep:
    space = {"pretrained.rate": Real(low=0.1, high=1.0)}
    search = Search(space=space, num_points=num_points, stop_on=stop_on, reduction=2)
    question = sweep({}, seeds=(0,)).model_copy(update={"search": search})
    base = Experiment().override({"step_s": 0.02, "pretrained.num_epochs": 4})
    assert expand(question, base) == ()
    return ExpandedSweep(question, (), base)


@pytest.mark.slow
def test_a_search_gives_up_the_worse_half_and_keeps_the_best(local_ray, tmp_path):
    epochs, best = {}, {}
    for stop_on, num_points in (("", 2), ("probe_miou", 8)):
        out = tmp_path / (stop_on or "whole")
        runtime = Runtime(out=str(out), device="cpu", max_concurrent_trials=1)
        tracker = MlflowTracker(runtime.store_uri())
        out.mkdir()
        question = asked(num_points, stop_on)
        outcome = run_sweep(question, search_trial, runtime, tracker, log=str)
        records = tracker.records("trial")
        assert len(outcome.plan.trials) == len(records) == num_points
        assert len(outcome.finished) + outcome.gave_up == num_points
        assert not outcome.failures
        for run in records:
            assert run.status == "FINISHED" or run.tags["olivine.failure"].startswith(GAVE_UP)
        assert "RUNNING" not in {run.status for run in tracker.records()}
        epochs[stop_on] = len((out / "ledger.txt").read_text().splitlines())
        best[stop_on] = max(run.metrics["miou"] for run in outcome.finished.values())
        assert (outcome.gave_up > 0) == bool(stop_on)
        # Asked again it is finished: no point is run anew.
        again = run_sweep(question, search_trial, runtime, tracker, log=str)
        assert again.plan == outcome.plan
        assert epochs[stop_on] == len((out / "ledger.txt").read_text().splitlines())
    assert epochs[""] == 2 * 4
    assert epochs["probe_miou"] < 8 * 4
    assert best["probe_miou"] > 70  # the random points alone reach into the best third


@pytest.mark.slow
def test_points_that_another_search_had_finished_are_its_own_too(local_ray, tmp_path):
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri())
    first = run_sweep(asked(2, ""), search_trial, runtime, tracker, log=str)
    ledger = (tmp_path / "ledger.txt").read_text()
    question = asked(2, "")
    other = replace(question, sweep=question.sweep.model_copy(update={"name": "other"}))

    outcome = run_sweep(other, search_trial, runtime, tracker, log=str)

    assert (tmp_path / "ledger.txt").read_text() == ledger, "nothing ran again"
    assert outcome.plan.trials == first.plan.trials
    assert outcome.finished.keys() == first.finished.keys()
    sweep = find_sweep_run("other", tracker, runtime.store_uri())
    assert plan_of(sweep, tracker).trials == first.plan.trials  # as a table and a report see it


@pytest.mark.slow
def test_a_limit_ends_a_sweep_cleanly_and_the_same_command_goes_on(local_ray, tmp_path: Path):
    rows = {f"rate {i}": {"pretrained.rate": i / 10} for i in range(3)}
    base = Experiment(num_steps=1, step_s=0)
    wanted = sweep(rows, seeds=(0,))
    question = ExpandedSweep(wanted, expand(wanted, base), base)
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker, told = MlflowTracker(runtime.store_uri()), []

    outcome = run_sweep(
        question, run_trial, runtime, tracker, limits=Limits(max_trials=2), log=told.append
    )

    assert len(outcome.finished) == 2
    assert not outcome.failures
    assert outcome.limit == "--max-trials 2 is reached"
    (parent,) = tracker.records("sweep")
    assert parent.status == "FAILED"
    assert "--max-trials 2" in parent.tags["olivine.failure"]
    rest = run_sweep(question, run_trial, runtime, tracker, log=told.append)
    assert (len(rest.finished), rest.num_reused, rest.limit) == (3, 2, "")
    (parent,) = tracker.records("sweep")
    assert parent.status == "FINISHED"

    again = run_sweep(question, run_trial, runtime, tracker, force=True, log=told.append)
    assert (len(again.finished), again.num_reused) == (3, 0)
    assert len((tmp_path / "ledger.txt").read_text().splitlines()) == 6


@pytest.mark.slow
def test_at_a_limit_of_time_trials_end_at_their_next_report_and_go_on_later(local_ray, tmp_path):
    wanted = sweep({"slow": {}}, seeds=(0,))
    base = Experiment().override({"step_s": 1.0})
    question = ExpandedSweep(wanted, expand(wanted, base), base)
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri())
    limits = Limits(max_hours=1e-4)  # passes while the first trial starts

    outcome = run_sweep(question, search_trial, runtime, tracker, limits=limits, log=str)

    assert "--max-hours" in outcome.limit
    assert not outcome.failures
    assert {run.status for run in tracker.records("trial")} <= {"KILLED"}
    assert "RUNNING" not in {run.status for run in tracker.records()}
    rest = run_sweep(question, search_trial, runtime, tracker, log=str)
    assert len(rest.finished) == 1


@pytest.mark.slow
def test_a_forced_trial_that_fails_is_not_taken_for_its_earlier_success(local_ray, tmp_path):
    wanted = sweep({"work": {}}, seeds=(0,))
    base = Experiment(num_steps=1, step_s=0)
    question = ExpandedSweep(wanted, expand(wanted, base), base)
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri())
    assert len(run_sweep(question, run_trial, runtime, tracker, log=str).finished) == 1
    (tmp_path / "broken").touch()  # the machine, since settings and data are the same

    outcome = run_sweep(question, run_trial, runtime, tracker, force=True, log=str)

    assert not outcome.finished
    assert outcome.failures == {"work, seed 0": "OSError: This machine is broken."}
    # Both the sweep's runs and its trials' belong to the question's own experiment.
    assert {run.experiment for run in tracker.records()} == {"short"}


@pytest.mark.slow
@pytest.mark.nightly
def test_a_point_given_up_frees_its_workers_for_the_next(tmp_path):
    """Without Ray's State API they would be held for ever, and the search would hang."""
    program = "from tests.support import sweep_driver; sweep_driver.search_over_workers()"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (found,) = re.findall(r"finished (\d+) gave up (\d+)", ended.stdout)
    finished, gave_up = map(int, found)
    assert finished + gave_up == 4, ended.stdout
    assert gave_up > 0
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db")
    assert "RUNNING" not in {run.status for run in tracker.records()}
    runs = tracker.records("trial")
    assert sorted(run.status for run in runs) == ["FINISHED"] * finished + ["KILLED"] * gave_up
    for run in [*runs, *tracker.records("pretrain")]:
        assert run.status == "FINISHED" or run.tags["olivine.failure"].startswith(GAVE_UP)


def test_trials_of_several_workers_need_the_state_api(local_ray, tmp_path):
    question = asked(4, "probe_miou")
    runtime = Runtime(out=str(tmp_path), device="cpu", num_workers=2)
    tracker = MlflowTracker(runtime.store_uri())
    with pytest.raises(UserError, match=r"State API does not answer.*runtime.num_workers=1"):
        run_sweep(question, search_trial, runtime, tracker, log=str)
    assert not tracker.records("trial")
