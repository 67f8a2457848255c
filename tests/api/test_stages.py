"""The stages from Python: by name or by value, in this process or over Ray, and found again."""

from pathlib import Path

import numpy as np
import pytest

import olivine
from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.tracking.run_store import open_run_store
from olivine.training import pretrain as pretraining
from tests.support.small import SMALL

TINY = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "num_epochs": 1,
    "batch_frames": 2,
}


@pytest.fixture(scope="module")
def runtime(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> olivine.Runtime:
    out = tmp_path_factory.mktemp("runs") / "out"
    return olivine.Runtime(
        data_root=str(tiny_world),
        out=str(out),
        cache_dir=str(out / "cache"),
        device="cpu",
        launcher="process",
        allow=("fewer_pairs", "absent_classes"),
    )


@pytest.fixture(scope="module")
def evaluated(runtime: olivine.Runtime):
    return olivine.evaluate("demo_random", TINY, runtime=runtime)


def test_a_pretraining_by_name_or_by_value_is_the_same_run(runtime):
    changed = {**TINY, "pretrained.seed": 5}
    by_name = olivine.pretrain("demo_random", changed, runtime=runtime)
    whole = olivine.recipe("demo_random", changed)
    by_value = olivine.pretrain(whole, runtime=runtime)
    alone = olivine.pretrain(whole.pretrained, {"pretrained.seed": 5}, runtime=runtime)
    assert by_name.key == by_value.key == alone.key
    runs = open_run_store(runtime).records("pretrain", fingerprints=[by_name.key.fingerprint])
    assert [run.status for run in runs] == ["FINISHED"]
    backbone = olivine.load_backbone(by_name.key.fingerprint, out=runtime.out)
    assert backbone.config == whole.pretrained


def test_settings_of_the_runtime_are_taken_from_either_place(runtime, tmp_path):
    by_settings = olivine.pretrain(
        "demo_random", {**TINY, "runtime.out": str(tmp_path)}, runtime=runtime
    )
    assert (tmp_path / by_settings.weights).exists()
    with pytest.raises(UserError, match="No setting 'outt'"):
        olivine.pretrain("demo_random", {"runtime.outt": "x"}, runtime=runtime)
    with pytest.raises(UserError, match="No setting 'sed'"):
        olivine.evaluate("demo_random", {"sed": 1}, runtime=runtime)


def test_an_evaluation_has_scores_and_is_found_again(runtime, evaluated):
    assert 0 < evaluated.scores["miou"] <= 100
    again = olivine.evaluate("demo_random", TINY, runtime=runtime)
    assert again == evaluated
    runs = open_run_store(runtime).records("evaluate")
    assert len(runs) == 1


def test_a_pretraining_that_is_finished_is_not_trained_again(runtime, monkeypatch):
    calls = []
    real = pretraining.pretrain

    def counted(*given, **named):
        calls.append(1)
        return real(*given, **named)

    monkeypatch.setattr(pretraining, "pretrain", counted)
    changed = {**TINY, "pretrained.seed": 6}
    first = olivine.pretrain("demo_random", changed, runtime=runtime)
    second = olivine.pretrain("demo_random", changed, runtime=runtime)
    assert (first.key, len(calls)) == (second.key, 1)


def test_labels_are_made_and_then_kept(runtime, tmp_path):
    small = {**SMALL, "pretrained.data.scene_step": 8, "runtime.out": str(tmp_path)}
    (made,) = olivine.label("demo", small, runtime=runtime)
    assert made.num_failed == 0
    assert list(Path(tmp_path).glob("labels/**/*.png"))
    (again,) = olivine.label("demo", small, runtime=runtime)
    assert again.num_failed == 0
    with pytest.raises(UserError, match="neither weak labels nor segments"):
        olivine.label("demo_random", runtime=runtime)


def test_features_and_predictions_by_a_run(runtime, evaluated, tiny_world, tmp_path):
    fingerprint = evaluated.key.fingerprint
    scans = sorted(tiny_world.glob("samples/LIDAR_TOP/*.pcd.bin"))[:2]
    written = olivine.embed(fingerprint, tmp_path / "features", files=scans, runtime=runtime)
    assert written.num_written == 2
    split = olivine.embed(
        fingerprint, tmp_path / "split", split="mini_val", form="npy", runtime=runtime
    )
    predicted = olivine.predict(fingerprint, tmp_path / "classes", data={}, runtime=runtime)
    val = Nuscenes(version="v1.0-mini", split="mini_val")
    frames = val.open(runtime.data_path(), runtime.cache_path())
    assert split.num_written == predicted.num_written == len(frames)
    by_value = olivine.predict(
        olivine.load_segmenter(fingerprint, out=runtime.out),
        tmp_path / "classes",
        data=val,
        runtime=runtime,
    )
    assert by_value.num_kept == len(frames)
    other = olivine.predict(fingerprint, tmp_path / "train", split="mini_train", runtime=runtime)
    assert len(list((tmp_path / "train/lidarseg/mini_train").iterdir())) == other.num_written > 0
    files = olivine.predict(fingerprint, tmp_path / "files", files=scans, runtime=runtime)
    assert files.num_written == 2
    labels = np.fromfile(next((tmp_path / "files").glob("*_lidarseg.bin")), np.uint8)
    assert 1 <= labels.min() <= labels.max() <= 16


def test_scans_are_given_in_one_way(runtime, evaluated, tmp_path):
    fingerprint = evaluated.key.fingerprint
    for given in ({}, {"files": ["a.bin"], "split": "val"}, {"files": ["a.bin"], "data": {}}):
        with pytest.raises(UserError, match="Give the scans either as files="):
            olivine.embed(fingerprint, tmp_path, runtime=runtime, **given)
        with pytest.raises(UserError, match="Give the scans either as files="):
            olivine.predict(fingerprint, tmp_path, runtime=runtime, **given)
    with pytest.raises(UserError, match="files takes a list of paths"):
        olivine.predict(fingerprint, tmp_path, files="a.bin", runtime=runtime)
    with pytest.raises(UserError, match="split"):
        olivine.predict(fingerprint, tmp_path, split="mini_vall", runtime=runtime)
    assert not list(tmp_path.iterdir())


def test_a_split_of_a_data_set_that_has_none_is_told(runtime, evaluated, tmp_path):
    with pytest.raises(UserError, match="No setting 'part'"):
        olivine.predict(evaluated.key.fingerprint, tmp_path, data={"part": 1}, runtime=runtime)


@pytest.mark.slow
def test_over_ray_the_scores_are_those_of_this_process(runtime, evaluated, tmp_path):
    over_ray = olivine.evaluate(
        "demo_random",
        TINY,
        runtime=runtime.override({"launcher": "ray", "out": str(tmp_path)}),
    )
    assert over_ray.key == evaluated.key
    assert over_ray.scores == evaluated.scores


@pytest.mark.slow
def test_a_sweep_by_value_runs_and_its_table_is_a_frame(runtime, tmp_path):
    sweep = olivine.Sweep(
        name="rates",
        question="Does the rate matter?",
        metric="miou",
        recipe="demo_random",
        rows={"slow": {"optimiser.lr": 0.1}, "fast": {}},
        seeds=(0,),
        seed_names=("seed", "pretrained.seed"),
    )
    said: list[str] = []
    here = runtime.override({"launcher": "ray", "out": str(tmp_path)})
    outcome = olivine.run_sweep(sweep, TINY, rows=["fast"], runtime=here, say=said.append)
    assert (len(outcome.finished), dict(outcome.failures)) == (1, {})
    assert any("1 trials" in line for line in said)
    frame = olivine.table("rates", layout="wide", out=tmp_path)
    assert frame.index.tolist() == ["fast"]
    (fingerprint,) = outcome.finished
    assert olivine.load_segmenter(fingerprint, out=tmp_path).config.seed == 0
    again = olivine.run_sweep(sweep, TINY, rows="fast", runtime=here, say=said.append)
    assert again.num_reused == 1
    with pytest.raises(UserError, match="has no row 'fats'"):
        olivine.run_sweep(sweep, TINY, rows=["fats"], runtime=here)
