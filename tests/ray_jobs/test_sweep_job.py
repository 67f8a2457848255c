import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_driver import Experiment, run_trial, sweep

from olivine.config import Runtime
from olivine.errors import UserError
from olivine.mlflow_tracker import MlflowTracker
from olivine.sweep import Question, Sweep, expand
from ray_jobs.sweep import run_sweep

ROOT = Path(__file__).parents[2]


def ask(asked: Sweep, base: Experiment, **changes) -> Question:
    return Question(asked, expand(asked, base), base, **changes)


def _start(out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", "import sweep_driver; sweep_driver.main()", str(out)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "RAY_ADDRESS": ""},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _runs(out: Path, stage: str):
    return MlflowTracker(f"sqlite:///{out / 'mlflow.db'}", "short").records(stage)


@pytest.mark.slow
def test_killed_sweep_goes_on_and_every_trial_is_there_once(tmp_path):
    first = _start(tmp_path)
    told = []
    while not told or not told[-1].startswith("4/10"):
        told.append(first.stdout.readline())
        assert told[-1], "".join(told)
    time.sleep(0.2)  # into the middle of a trial
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = {r.key.fingerprint for r in _runs(tmp_path, "trial") if r.status == "FINISHED"}
    assert 4 <= len(done) < 10
    assert {r.status for r in _runs(tmp_path, "sweep")} == {"RUNNING"}  # what a kill leaves

    second = _start(tmp_path)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    # Processes of trials outlive the driver by a moment; what they finish in it counts.
    (reused,) = re.findall(r"reused (\d+) finished 10", output)
    assert len(done) <= int(reused) < 10
    for stage, number in (("trial", 10), ("pretrain", 10), ("sweep", 1)):
        runs = _runs(tmp_path, stage)
        assert {run.status for run in runs} == {"FINISHED"}
        assert len(runs) == len({run.key for run in runs}) == number
    started = (tmp_path / "ledger.txt").read_text().splitlines()
    assert len(set(started)) == 10
    assert len(started) - 10 <= 2, "only what was under way when the kill came runs twice"


def test_failures_are_told_and_do_not_stop_the_others(tmp_path, local_ray):
    rows = {name: {"behaviour": name} for name in ("work", "raise", "die")}
    asked = sweep(rows, seeds=(0,))
    question = ask(asked, Experiment(num_steps=1, step_s=0))
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri(), "failing")
    told: list[str] = []
    outcome = run_sweep(question, run_trial, runtime, tracker, say=told.append)

    assert [record.name for record in outcome.finished.values()] == ["work, seed 0"]
    assert outcome.failures["raise, seed 0"] == "ValueError: This row cannot work."
    assert "process died" in outcome.failures["die, seed 0"]
    assert any("raise, seed 0: failed: ValueError: This row cannot work." in t for t in told), (
        "\n".join(told)
    )
    statuses = {record.name: record.status for record in tracker.records("trial")}
    assert statuses == {
        "work, seed 0": "FINISHED",
        "raise, seed 0": "FAILED",
        "die, seed 0": "FAILED",
    }
    (parent,) = tracker.records("sweep")
    assert (parent.status, parent.tags["olivine.failure"]) == ("FAILED", "2 of 3 trials failed.")
    nested = tracker.records("pretrain", {"olivine.sweep_run": parent.run_id})
    trial_runs = {record.run_id for record in tracker.records("trial")}
    assert {record.tags["mlflow.parentRunId"] for record in nested} == trial_runs
    assert "RUNNING" not in {record.status for record in tracker.records()}

    # The failed ones are mended and asked again: the finished one is not run a second time.
    again = run_sweep(question, run_trial, runtime, tracker, say=told.append)
    assert again.num_reused == 1
    assert (tmp_path / "ledger.txt").read_text().count("\n") == 5
    assert len(tracker.records("trial")) == 3


def test_a_sweep_that_runs_already_and_one_that_cannot_be_placed_are_told(tmp_path, local_ray):
    asked = sweep({"work": {}}, seeds=(0,))
    question = ask(asked, Experiment(num_steps=1, step_s=0))
    runtime = Runtime(out=str(tmp_path), device="cuda")
    tracker = MlflowTracker(runtime.store_uri(), "refused")
    with pytest.raises(UserError, match="asks for 1 GPUs and this machine has 0"):
        run_sweep(question, run_trial, runtime, tracker, say=lambda _: None)

    def meddle(text: str) -> None:
        with pytest.raises(UserError, match="is running already"):
            run_sweep(question, run_trial, runtime, tracker, say=lambda _: None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(question, run_trial, runtime, tracker, say=meddle)
    assert "RUNNING" not in {record.status for record in tracker.records()}
