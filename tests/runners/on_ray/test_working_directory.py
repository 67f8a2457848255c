"""A relative path means for every worker what it means for the command."""

import os
from pathlib import Path

import ray
from ray import tune

from olivine.core.runtime import Runtime
from olivine.runners.on_ray.train import train_on_ray
from olivine.tracking.tracker import NullTracker


def test_workers_and_trials_stay_where_other_tasks_run(tmp_path: Path, local_ray: str) -> None:
    note = tmp_path / "train"

    def stage(worker: object, tracker: object, report: object) -> None:
        note.write_text(os.getcwd())

    def trial(config: dict) -> None:
        (tmp_path / "tune").write_text(os.getcwd())
        tune.report({"score": 1.0})

    runtime = Runtime(out=str(tmp_path / "out"), device="cpu")
    train_on_ray(stage, "train", runtime, NullTracker())
    tune.Tuner(trial, run_config=tune.RunConfig(storage_path=str(tmp_path / "tuned"))).fit()
    there = ray.get(ray.remote(lambda: os.getcwd()).remote())  # noqa: PLW0108, no C function
    assert note.read_text() == there
    assert (tmp_path / "tune").read_text() == there
