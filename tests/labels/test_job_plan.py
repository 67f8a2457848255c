from pathlib import Path

import pytest

from olivine.cli import main as cli
from olivine.core.runtime import Runtime
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.job import label
from olivine.labels.job_plan import LabelJobPlan, Measured, measured_before, plan_label_job
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import NullTracker, RunKey, Tracker
from tests.support.image_folder import Folder, Threshold, files_below, write_images

CONFIG = LabelConfig(dataset=Folder(), labeller=Threshold(seconds=0.01))


def runtime_of(tmp_path: Path, **changes: object) -> Runtime:
    places = {"data_root": str(tmp_path / "data"), "out": str(tmp_path / "out")}
    return Runtime.from_dict({**places, "label_batch_size": 4, **changes})


def plan(
    tmp_path: Path,
    tracker: Tracker | None = None,
    selection: Selection = EVERY_NEW_IMAGE,
    **changes: object,
) -> LabelJobPlan:
    runtime = runtime_of(tmp_path, **changes)
    return plan_label_job(CONFIG, runtime, tracker or NullTracker(), selection)


def test_a_plan_says_what_is_there_and_writes_nothing(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 30)
    before = files_below(tmp_path)

    found = plan(tmp_path, num_label_actors=2)

    assert files_below(tmp_path) == before
    assert (found.num_images, found.num_finished, found.num_left) == (30, 0, 30)
    assert sum(found.blocks) == 30
    images, work, size, seconds = found.lines("olivine label --limit 100")
    assert images == f"Images  30: 0 have labels in {found.path}; 30 to label."
    assert work == "Work    8 blocks of up to 4 images, batches of up to 4, 1 to 2 actors."
    assert size.startswith("Bytes   in ")
    assert size.endswith("out unknown before the first map.")
    assert seconds.startswith("Time    unknown")
    assert "`olivine label --limit 100`" in seconds


def test_a_plan_of_a_finished_job_has_nothing_more_to_say(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 4)
    label(CONFIG, runtime_of(tmp_path), NullTracker())

    found = plan(tmp_path)

    assert found.lines("MEASURE") == [f"Images  4: 4 have labels in {found.path}; 0 to label."]


def test_a_plan_after_a_limited_job_knows_time_sizes_and_failures(tmp_path: Path) -> None:
    names = write_images(tmp_path / "data", 30)
    (tmp_path / "data" / names[1]).write_bytes(b"no image")
    tracker = MlflowTracker(runtime_of(tmp_path).store_uri())
    label(
        CONFIG,
        runtime_of(tmp_path),
        tracker,
        selection=Selection(limit=10),
    )

    found = plan(tmp_path, tracker)

    assert (found.num_finished, found.num_failed_before, found.num_left) == (9, 1, 20)
    assert found.mean_map_bytes is not None
    assert found.measured is not None
    assert found.measured.gpus_per_actor == 0
    assert 0.0025 < found.measured.actor_s_per_image < 0.5  # 0.01 s for four
    text = "\n".join(found.lines("MEASURE"))
    assert "1 failed before (left out; --retry-failed takes them); 20 to label." in text
    assert "GPU-hours unknown: on a GPU, `MEASURE` measures them." in text
    retry = plan(tmp_path, tracker, Selection(retry_failed=True))
    assert (retry.num_left, retry.retries) == (1, True)
    assert plan(tmp_path, tracker, Selection(limit=5)).num_left == 5


def test_what_a_gpu_measured_gives_hours_and_cost(tmp_path: Path) -> None:
    write_images(tmp_path / "data", 30)
    tracker = MlflowTracker(runtime_of(tmp_path).store_uri())
    for index, gpus in enumerate((0.5, 0.0)):  # the newer one ran on CPUs
        tags = {"labels": CONFIG.labeller.identity}
        with tracker.run(RunKey("label", f"{index}"), "label", CONFIG, tags) as run:
            run.log_metrics({"actor_s_per_image": 240.0, "gpus_per_actor": gpus}, 0)

    found = plan(tmp_path, tracker, num_label_actors=2, usd_per_gpu_hour=3.0)

    assert found.measured == Measured("0", 240.0, 0.5)
    assert found.lines("")[-1] == (
        "Time    1 GPU-hours, 3.00 USD, 60 min with all actors busy (240 s per image in run 0)."
    )
    assert measured_before(tracker, "another") is None


def test_the_command_plans_labels_some_and_goes_on(
    tiny_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "runtime.data_root": tiny_world,
        "runtime.out": tmp_path / "out",
        "runtime.cache_dir": tmp_path / "cache",
        "runtime.launcher": "process",
        "pretrained.data.split": "mini_val",
    }
    words = [f"--set={name}={value}" for name, value in settings.items()]

    assert cli.main(["label", "demo", "--dry-run", *words]) == 0
    planned = capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert "24 to label" in planned
    assert "olivine label demo --set" in planned
    assert "--limit 100`" in planned

    assert cli.main(["label", "demo", "--limit", "4", *words]) == 0
    limited = capsys.readouterr().out
    assert "20 are left for another time" in limited
    assert "Next: olivine label demo" in limited
    assert cli.main(["label", "demo", "--dry-run", *words]) == 0
    assert "s per image in run" in capsys.readouterr().out

    assert cli.main(["label", "demo", "--limit", "0", *words]) == cli.USER_ERROR
    assert "--limit takes a number" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--set=runtime.data_root={tmp_path}", "--set=runtime.launcher=process"]
    assert cli.main(["label", "demo", "--set=runtime.out=/proc/labels", *words]) == cli.USER_ERROR
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "/proc/labels" in written
