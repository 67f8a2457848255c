"""Networks are found by their runs, files and folders, and what is wrong with one is told."""

import shutil
from pathlib import Path

import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.experiments.sweep_plan import SweepPlan
from olivine.inference import load_backbone, load_segmenter
from olivine.models.weights import read_state
from olivine.runners.launch import launch_evaluation
from olivine.tracking.run_store import open_run_store
from olivine.tracking.tracker import RunKey
from olivine.training.config import PretrainConfig
from olivine.training.evaluated_network import description_name, tensors_hash
from tests.support.run_stores.finished_runs import Finished


@pytest.fixture
def moved(finished: Finished, tmp_path: Path) -> Finished:
    """The runs in a copy that a test may spoil; the runs themselves say that they lie elsewhere."""
    out = tmp_path / "moved"
    shutil.copytree(finished.out, out)
    runtime = finished.runtime.override({"out": str(out)})
    return Finished(runtime, finished.probe, finished.finetuned, finished.probe_config)


def run_id(finished: Finished, stage: str) -> str:
    return open_run_store(finished.runtime).records(stage)[0].run_id


def weights_hash(path: Path) -> str:
    return tensors_hash(torch.load(path, weights_only=True)["backbone"])


def test_every_way_to_name_a_pretraining_gives_its_backbone(finished):
    fingerprint, identity = finished.pretrained(), run_id(finished, "pretrain")
    folder = finished.out / "pretrained" / fingerprint
    expected = weights_hash(folder / "backbone.pt")
    in_store = {"out": finished.out}
    for source in (fingerprint, fingerprint[:8], identity, identity[:10], f"runs:/{identity}"):
        assert load_backbone(source, **in_store).weights_sha256() == expected, source
    uri = f"sqlite:///{finished.out}/mlflow.db"
    assert load_backbone(identity, tracking_uri=uri).weights_sha256() == expected
    for place in (folder, str(folder), folder / "backbone.pt", f"file://{folder}/backbone.pt"):
        loaded = load_backbone(place)
        assert loaded.weights_sha256() == expected, place
        assert isinstance(loaded.config, PretrainConfig)
        assert not loaded.network.training


def test_a_file_is_named_from_its_own_folder(finished, monkeypatch):
    folder = finished.out / "pretrained" / finished.pretrained()
    monkeypatch.chdir(folder)
    expected = weights_hash(folder / "backbone.pt")
    for source in ("backbone.pt", "./backbone.pt", Path("backbone.pt"), "."):
        assert load_backbone(source).weights_sha256() == expected


def test_a_path_may_begin_with_the_home_folder(finished, monkeypatch):
    fingerprint = finished.pretrained()
    expected = weights_hash(finished.out / "pretrained" / fingerprint / "backbone.pt")
    monkeypatch.setenv("HOME", str(finished.out))
    folder = f"~/pretrained/{fingerprint}"
    for source in (folder, f"{folder}/backbone.pt", Path(folder), Path(folder) / "backbone.pt"):
        assert load_backbone(source).weights_sha256() == expected, source
    assert load_backbone(fingerprint, out="~").weights_sha256() == expected
    with pytest.raises(UserError, match=r"a user who is not known here: write the path in full"):
        load_backbone("~nobody-of-this-name/backbone.pt", out="~nobody-of-this-name")
    with pytest.raises(UserError, match=r"a user who is not known here: write the path in full"):
        load_backbone(fingerprint, out="~nobody-of-this-name")


def test_a_fingerprint_may_be_in_capitals(finished):
    fingerprint, identity = finished.pretrained(), run_id(finished, "pretrain")
    expected = load_backbone(fingerprint, out=finished.out).weights_sha256()
    for source in (fingerprint.upper(), fingerprint[:8].upper(), f"runs:/{identity.upper()}"):
        assert load_backbone(source, out=finished.out).weights_sha256() == expected, source


def test_an_evaluation_gives_the_backbone_that_it_scored(finished):
    start = weights_hash(finished.out / "pretrained" / finished.pretrained() / "backbone.pt")
    probe, finetuned = (r.key.fingerprint for r in (finished.probe, finished.finetuned))
    assert load_backbone(probe, out=finished.out).weights_sha256() == start
    moved = load_backbone(finetuned, out=finished.out)
    assert moved.weights_sha256() != start
    network = load_segmenter(finetuned, out=finished.out)
    assert network.backbone.weights_sha256() == moved.weights_sha256()
    assert network.config.protocol == "finetune"
    assert len(network.class_names) == network.network.head.out_features == 16


def test_every_way_to_name_an_evaluation_gives_its_network(finished):
    fingerprint, identity = finished.probe.key.fingerprint, ""
    for run in open_run_store(finished.runtime).records("evaluate"):
        if run.key.fingerprint == fingerprint:
            identity = run.run_id
    expected = load_segmenter(fingerprint, out=finished.out).weights_sha256()
    folder = finished.out / "evaluated" / fingerprint
    for source in (identity, f"runs:/{identity}", fingerprint[:7]):
        assert load_segmenter(source, out=finished.out).weights_sha256() == expected
    assert load_segmenter(folder).weights_sha256() == expected


def test_a_network_in_one_file_is_the_same_network(finished, tmp_path):
    network = load_segmenter(finished.finetuned.key.fingerprint, out=finished.out)
    network.save(tmp_path / "one.pt")
    again = load_segmenter(tmp_path / "one.pt")
    assert again.weights_sha256() == network.weights_sha256()
    assert (again.config, again.class_names) == (network.config, network.class_names)
    assert load_backbone(tmp_path / "one.pt").weights_sha256() == network.backbone.weights_sha256()
    folder = finished.out / "evaluated" / finished.finetuned.key.fingerprint
    checkpoint = next(folder.rglob("step_*.pt"))
    assert (tmp_path / "one.pt").stat().st_size < checkpoint.stat().st_size


def test_runs_that_were_moved_are_found_below_out(moved, finished, monkeypatch):
    """Also where the folder that they were made in is gone."""
    expected = load_backbone(finished.pretrained(), out=finished.out).weights_sha256()
    hidden = finished.out.with_name("hidden")
    finished.out.rename(hidden)
    try:
        assert load_backbone(moved.pretrained(), out=moved.out).weights_sha256() == (expected)
        assert load_segmenter(moved.probe.key.fingerprint, out=moved.out).class_names
    finally:
        hidden.rename(finished.out)


def test_runs_of_another_out_are_found_where_they_left_their_files(finished, tmp_path):
    uri = f"sqlite:///{finished.out}/mlflow.db"
    loaded = load_segmenter(
        finished.probe.key.fingerprint, out=tmp_path / "elsewhere", tracking_uri=uri
    )
    assert loaded.weights_sha256()
    assert not (tmp_path / "elsewhere").exists()


def test_no_random_number_is_drawn_from_the_caller(finished):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_segmenter(finished.probe.key.fingerprint, out=finished.out)
    assert torch.equal(torch.rand(3), expected)


def test_weights_that_changed_since_are_told(moved):
    fingerprint = moved.pretrained()
    file = moved.out / "pretrained" / fingerprint / "backbone.pt"
    state = torch.load(file, weights_only=True)
    next(iter(state["backbone"].values())).add_(1)
    torch.save(state, file)
    with pytest.raises(UserError, match="is not the file that this model was logged with"):
        load_backbone(fingerprint, out=moved.out)

    print_ = moved.probe.key.fingerprint
    (checkpoint,) = (moved.out / "evaluated" / print_ / "checkpoints").glob("*.pt")
    state = torch.load(checkpoint, weights_only=True)
    state["module"]["head.bias"].add_(1)
    torch.save(state, checkpoint)
    for source in (print_, moved.out / "evaluated" / print_):
        with pytest.raises(UserError, match="are not those that were evaluated"):
            load_segmenter(source, out=moved.out)


def test_an_evaluation_that_another_out_reused_has_its_weights_where_they_are(finished, tmp_path):
    """What is copied for a reused evaluation are its predictions alone."""
    uri = f"sqlite:///{finished.out}/mlflow.db"
    runtime = finished.runtime.override({"out": str(tmp_path), "tracking_uri": uri})
    reused = launch_evaluation(finished.probe_config, runtime, open_run_store(runtime))
    assert reused == finished.probe
    assert (tmp_path / reused.predictions).exists()
    network = load_segmenter(reused.key.fingerprint, out=tmp_path, tracking_uri=uri)
    expected = load_segmenter(reused.key.fingerprint, out=finished.out)
    assert network.weights_sha256() == expected.weights_sha256()


def test_weights_that_are_gone_are_told(moved, finished):
    for path in [*moved.out.rglob("step_*.pt")]:
        path.unlink()
    with pytest.raises(UserError, match="its checkpoints are gone"):
        load_segmenter(moved.out / "evaluated" / moved.probe.key.fingerprint)
    hidden = finished.out.with_name("hidden")
    finished.out.rename(hidden)
    shutil.rmtree(moved.out / "pretrained")
    try:
        for load, run in (
            (load_backbone, moved.pretrained()),
            (load_segmenter, moved.probe.key.fingerprint),
        ):
            with pytest.raises(UserError, match=r"The weights of run .* are not in .*runtime\.out"):
                load(run, out=moved.out)
    finally:
        hidden.rename(finished.out)


def test_an_evaluation_of_version_0_1_has_its_settings_from_the_run(moved):
    """It has no note beside its weights."""
    fingerprint = moved.probe.key.fingerprint
    expected = load_segmenter(fingerprint, out=moved.out)
    (moved.out / description_name(fingerprint)).unlink()
    again = load_segmenter(fingerprint, out=moved.out)
    assert again.weights_sha256() == expected.weights_sha256()
    assert (again.config, again.class_names) == (expected.config, expected.class_names)
    with pytest.raises(UserError, match="is no folder of a finished evaluation"):
        load_segmenter(moved.out / "evaluated" / fingerprint)
    Store(moved.out).write(description_name(fingerprint), b"{}")
    with pytest.raises(UserError, match="does not describe a network"):
        load_segmenter(fingerprint, out=moved.out)


def test_what_is_no_network_is_told(finished, tmp_path):
    with pytest.raises(UserError, match="has no head that predicts classes"):
        load_segmenter(finished.pretrained(), out=finished.out)
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="is not the file of a pretraining"):
        load_backbone(tmp_path / "other.pt")
    with pytest.raises(UserError, match="is no evaluated network"):
        load_segmenter(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(UserError, match=r"text\.pt cannot be read"):
        load_backbone(tmp_path / "text.pt")
    with pytest.raises(UserError, match=r"Cannot read .*none\.pt: No such file"):
        load_backbone(tmp_path / "none.pt")
    with pytest.raises(UserError, match="neither a file nor a run"):
        load_backbone("my backbone")


def test_what_names_no_network_is_told(finished, tmp_path):
    for empty in ("", " "):
        with pytest.raises(UserError, match=r"named by the path .*; it was given an empty text\."):
            load_backbone(empty)
    for wrong in ("runs:/", "runs:", "runs:/my-run"):
        with pytest.raises(UserError, match=r"names no run: after runs:/ stands the id of a run"):
            load_backbone(wrong)
    place = finished.out / "pretrained"
    with pytest.raises(UserError) as told:
        load_backbone(place)
    assert "is no folder of a run" in str(told.value)
    assert f"such as {min(path.name for path in place.iterdir())}." in str(told.value)
    with pytest.raises(UserError, match=r"no folder of a run.*<out>/evaluated/<fingerprint>\.$"):
        load_segmenter(tmp_path)


def test_a_file_of_another_kind_is_told_without_unsafe_advice(tmp_path):
    (tmp_path / "some.py").write_text("import torch\n")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"backbone": Path("x"), "config": Finished}, tmp_path / "objects.pt")
    for name in ("some.py", "empty.pt", "objects.pt"):
        with pytest.raises(
            UserError, match=f"{name} cannot be read: it is no file of weights"
        ) as told:
            load_backbone(tmp_path / name)
        assert "weights_only" not in str(told.value)
        with pytest.raises(UserError, match=f"{name} is not a file of weights") as told:
            read_state(tmp_path / name)
        assert "weights_only" not in str(told.value)


def test_a_run_that_there_is_not_is_told(finished, tmp_path):
    with pytest.raises(UserError, match=r"No run 'ffff0000ffff' in sqlite:.*which has \d+"):
        load_backbone("ffff0000ffff", out=finished.out)
    near = finished.pretrained()[:-1] + ("0" if finished.pretrained()[-1] != "0" else "1")
    with pytest.raises(UserError, match=f"Did you mean '{finished.pretrained()}'"):
        load_backbone(near, out=finished.out)
    with pytest.raises(UserError, match="There is no run store at sqlite:"):
        load_backbone("0123", out=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_sweeps_run_in_a_real_store_has_no_weights(moved):
    tracker = open_run_store(moved.runtime)
    plan = SweepPlan(name="question", metric="miou", trials={})
    with tracker.run(RunKey("sweep", "5eeb00000000"), "question", plan):
        pass
    with pytest.raises(UserError, match="is of the stage 'sweep'"):
        load_backbone("5eeb00000000", out=moved.out)


def test_a_server_is_no_file_to_look_for(tmp_path):
    runtime = Runtime(out=str(tmp_path), tracking_uri="http://127.0.0.1:9")
    with pytest.raises(UserError, match="No MLflow server answers"):
        load_backbone("0123", out=runtime.out, tracking_uri=runtime.tracking_uri)
