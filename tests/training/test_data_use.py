"""A run of other data is not reused, and the command says which data differ."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.experiments.recipes import demo_ppkt, demo_random, recipe
from olivine.labels.labellers.lidarseg_truth import LidarsegTruth
from olivine.runners.in_process import evaluate_here, pretrain_here
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.run_store import open_run_store
from olivine.tracking.tracker import CONFIG, IDENTITY, NullTracker, RunKey, RunRecord
from olivine.training.data_use import DataUse, keep_lists, why_not_reused
from olivine.training.experiment_data import ExperimentData, OpenedData
from olivine.training.finished_runs import OUT
from olivine.training.pretrain import data_use
from tests.support.run_stores.finished_runs import SMALL as SMALL_PROBE
from tests.support.small import SMALL

PROBE = demo_random().override(SMALL_PROBE)
TRAINED = demo_ppkt().override({**SMALL, "pretrained.num_epochs": 1}).pretrained


@pytest.fixture
def runtime(tiny_world: Path, tmp_path: Path) -> Runtime:
    """Return the places of a copy of the world and of results."""
    root = tmp_path / "data"
    shutil.copytree(tiny_world, root, ignore=shutil.ignore_patterns("truth"))
    return Runtime(
        data_root=str(root),
        out=str(tmp_path / "out"),
        cache_dir=str(tmp_path / "cache"),
        device="cpu",
        launcher="process",
    )


def opened(runtime: Runtime) -> ExperimentData:
    return ExperimentData.open(PROBE, runtime)


def files(runtime: Runtime, split: str, part: str) -> Iterator[Path]:
    for name in getattr(getattr(opened(runtime), split).split_files(), part):
        yield Path(runtime.data_root) / name


class Runs(NullTracker):
    """Records that were made by hand."""

    def __init__(self, *records: RunRecord):
        self._records = records

    def records(self, stage=None, tags=None, **more):
        wanted = (tags or {}).items()
        return [one for one in self._records if wanted <= one.tags.items()]


def record(config: Spec, tags: Mapping[str, str]) -> RunRecord:
    key = RunKey("pretrain", "0" * 12)
    return RunRecord("id", key, "", "FINISHED", {}, {}, {CONFIG: config.fingerprint(), **tags})


def use(runtime: Runtime) -> DataUse:
    frames = TRAINED.data.open(runtime.data_path(), runtime.cache_path())
    return data_use(TRAINED, frames)


def test_the_reason_names_what_differs(runtime: Runtime) -> None:
    before = use(runtime)
    keep_lists((before,), runtime.out)
    made = record(TRAINED, {IDENTITY: "2", OUT: runtime.out, **before.tags()})

    def reason(*records: RunRecord) -> str:
        return why_not_reused("pretrain", TRAINED, (use(runtime),), Runs(*records))

    assert reason() == reason(made) == ""
    assert reason(replace(made, status="FAILED")) == ""
    old = record(TRAINED, {})
    assert "made by" not in reason(old)
    assert "a version before 0.3 made it, which knew its data by the tables alone" in reason(old)

    scan, *_ = files(runtime, "pretrain", "scans")
    scan.write_bytes(scan.read_bytes()[:-20])
    image, *_ = files(runtime, "pretrain", "images")
    image.write_bytes(image.read_bytes() + b"x")
    said = reason(made)
    assert "has the same settings and is not reused: " in said
    for words in ("1 scan has another size (samples/LIDAR_TOP/", "1 image has another size"):
        assert words in said
    moved = replace(made, tags={**made.tags, "data.pretrain.tables": "0"})
    assert "the tables differ" in reason(moved)


def test_a_run_of_a_version_without_a_choice_says_what_it_had() -> None:
    config = recipe("olivine_1_percent")
    said = why_not_reused("evaluate", config, (), Runs(record(config, {})))
    assert said.endswith("loss.bank=pooled, backbone.bn_momentum=null, without a choice.")


def test_what_a_pretraining_reads_decides_its_identity(runtime: Runtime) -> None:
    assert use(runtime).parts == ("images", "scans")
    frames = opened(runtime).pretrain
    random = TRAINED.replace(num_epochs=0)
    assert data_use(random, frames).parts == ()
    scans = TRAINED.override({"method.terms.pixel.weight": 0, "num_epochs": 0})
    assert data_use(scans, frames).parts == ()
    truth = demo_ppkt().pretrained.replace(segments=LidarsegTruth())
    assert data_use(truth, frames).parts == ("images", "scans"), "no term reads the segments"


@pytest.mark.slow
def test_a_repaired_scan_is_pretrained_anew_and_a_touched_one_is_not(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = open_run_store(runtime)
    first = pretrain_here(TRAINED, runtime, tracker)
    scan, *_ = files(runtime, "pretrain", "scans")
    scan.touch()
    assert pretrain_here(TRAINED, runtime, tracker).reused is not None
    assert not caplog.messages

    scan.write_bytes(scan.read_bytes()[:-20])
    again = pretrain_here(TRAINED, runtime, tracker)

    assert (again.reused, again.num_steps) == (None, first.num_steps)
    assert again.key != first.key
    assert again.weights != first.weights
    (said,) = caplog.messages
    assert "The pretraining of" in said
    assert f"1 scan has another size ({scan.relative_to(runtime.data_root)}," in said


def test_changed_labels_are_scored_anew_and_other_images_are_not_looked_at(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = open_run_store(runtime)
    assert isinstance(tracker, MlflowTracker)
    first = evaluate_here(PROBE, runtime, tracker)
    (run,) = tracker.records("evaluate")
    assert run.tags[IDENTITY] == "2"
    assert {name for name in run.tags if name.startswith("data.")} == {
        f"data.{split}.{part}"
        for split in ("train", "val")
        for part in ("tables", "scans", "point_labels")
    }
    shutil.rmtree(Path(runtime.data_root) / "samples" / "CAM_FRONT")
    assert evaluate_here(PROBE, runtime, tracker).reused[-1].record.run_id == run.run_id
    assert not caplog.messages

    label, *_ = files(runtime, "val", "point_labels")
    label.write_bytes(label.read_bytes()[::-1])
    again = evaluate_here(PROBE, runtime, tracker)

    assert again.key != first.key
    assert [one.what for one in again.reused] == ["the pretraining"]
    (said,) = caplog.messages
    assert "The evaluation of" in said
    assert "1 file of point labels has other contents (lidarseg/" in said
    assert said.endswith(" of val.")
    assert Store(runtime.out).names("data_files")


def test_the_data_sets_of_a_stage_are_opened_and_listed_once(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    listed: list[str] = []
    scan = os.scandir

    def counted(path):
        listed.append(Path(path).name)
        return scan(path)

    monkeypatch.setattr(os, "scandir", counted)
    data = OpenedData(runtime)
    for _ in range(3):
        one = ExperimentData.open(PROBE, runtime, data)
        for frames in (one.pretrain, one.train, one.val):
            frames.identity.of("scans")  # type: ignore[attr-defined] # opened frames have it
    assert listed.count("LIDAR_TOP") == 2, "for two splits, and each file once"

    del listed[:]
    sent = OpenedData(runtime, data.identities())
    for frames in vars(ExperimentData.open(PROBE, runtime, sent)).values():
        frames.identity.require("scans")
        assert frames.identity.of("scans")
    assert "LIDAR_TOP" not in listed
