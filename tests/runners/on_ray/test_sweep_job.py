import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.sweep import Sweep, expand
from olivine.runners.on_ray.sweep import run_sweep
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support import ROOT
from tests.support.sweep_driver import Experiment, run_trial, sweep

NUM_KILLS = 10
# Tags and metrics that tell how often a run was opened, what the last start of a sweep took, and
# the code, on which somebody may be at work.
VARYING = re.compile(r"olivine\.opening|gpu_hours|(git|sha256|mlflow\.source)\.")


def ask(asked: Sweep, base: Experiment, **changes) -> ExpandedSweep:
    return ExpandedSweep(asked, expand(asked, base), base, **changes)


def _start(out: Path, num_rates: int = 5) -> subprocess.Popen:
    program = "from tests.support import sweep_driver; sweep_driver.main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, str(out), str(num_rates)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "RAY_ADDRESS": ""},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _runs(out: Path, stage: str):
    return MlflowTracker(f"sqlite:///{out / 'mlflow.db'}", "short").records(stage)


@pytest.mark.slow
@pytest.mark.nightly
def test_killed_sweep_goes_on_and_every_trial_is_there_once(tmp_path):
    first = _start(tmp_path)
    _until_told(first, "4/10")
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


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(1500)  # each kill is a start of Ray, on a machine that may have other work
def test_kills_at_random_moments_leave_what_an_undisturbed_sweep_leaves(tmp_path):
    moments, num_rates, num_trials = random.Random(6), 20, 40
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    for out in (calm, disturbed):
        out.mkdir()
    for _ in range(NUM_KILLS):
        driver = _start(disturbed, num_rates)
        told = _until_told(driver, "Sweep short")
        assert f"{num_trials} trials" in told[-1]
        if moments.random() < 0.3:  # while Ray starts
            time.sleep(moments.uniform(0, 3))
        else:  # after some trials, in the middle of others
            _until_told(driver, f"{moments.randint(1, 2)}/")
            time.sleep(moments.uniform(0, 0.5))
        assert driver.poll() is None, "it ended before it was killed"
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    done = {run.key for run in _runs(disturbed, "trial") if run.status == "FINISHED"}
    assert 0 < len(done) < num_trials

    for out in (disturbed, calm):
        output, _ = (driver := _start(out, num_rates)).communicate(timeout=300)
        assert driver.returncode == 0, output

    left, wanted = _state(disturbed), _state(calm)
    assert len(wanted) == 2 * num_trials + 1
    assert left.keys() == wanted.keys()
    assert [(left[key], wanted[key]) for key in wanted if left[key] != wanted[key]] == []


def _until_told(driver: subprocess.Popen, start: str) -> list[str]:
    """Read the driver's lines until one starts so."""
    told = []
    while not told or not told[-1].startswith(start):
        told.append(driver.stdout.readline())
        assert told[-1], "".join(told)
    return told


def _state(out: Path) -> dict[tuple[str, str], list[object]]:
    """Return everything that the store tells of each run but times and the ids of runs."""
    runs = [run for stage in ("sweep", "trial", "pretrain") for run in _runs(out, stage)]
    stages = {run.run_id: f"the run of {run.key}" for run in runs}
    times = Counter(run.key for run in runs)
    assert not [run for run in runs if times[run.key] > 1], "it is there twice"

    def told(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: stages.get(v, v) for name, v in values.items() if not VARYING.match(name)}

    return {
        (run.key.stage, run.key.fingerprint): [
            run.name, run.status, dict(run.settings), told(run.metrics), told(run.tags),
        ]
        for run in runs
    }  # fmt: skip


def test_failures_are_told_and_do_not_stop_the_others(tmp_path, local_ray):
    rows = {name: {"behaviour": name} for name in ("work", "raise", "die")}
    asked = sweep(rows, seeds=(0,))
    question = ask(asked, Experiment(num_steps=1, step_s=0))
    runtime = Runtime(out=str(tmp_path), device="cpu")
    tracker = MlflowTracker(runtime.store_uri(), "failing")
    told: list[str] = []
    outcome = run_sweep(question, run_trial, runtime, tracker, log=told.append)

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
    again = run_sweep(question, run_trial, runtime, tracker, log=told.append)
    assert again.num_reused == 1
    assert (tmp_path / "ledger.txt").read_text().count("\n") == 5
    assert len(tracker.records("trial")) == 3


def test_a_sweep_that_runs_already_and_one_that_cannot_be_placed_are_told(tmp_path, local_ray):
    asked = sweep({"work": {}}, seeds=(0,))
    question = ask(asked, Experiment(num_steps=1, step_s=0))
    runtime = Runtime(out=str(tmp_path), device="cuda")
    tracker = MlflowTracker(runtime.store_uri(), "refused")
    with pytest.raises(UserError, match="needs 1 GPUs and this machine has 0"):
        run_sweep(question, run_trial, runtime, tracker, log=lambda _: None)

    def meddle(text: str) -> None:
        with pytest.raises(UserError, match="is running already"):
            run_sweep(question, run_trial, runtime, tracker, log=lambda _: None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(question, run_trial, runtime, tracker, log=meddle)
    assert "RUNNING" not in {record.status for record in tracker.records()}
