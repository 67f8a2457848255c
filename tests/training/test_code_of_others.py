"""Parts from files in a pretraining of this machine: in loader processes, and after an edit."""

import multiprocessing
from pathlib import Path

import pytest

from olivine.core.plugins.kept_code import VARIABLE
from olivine.data.collate import Collate
from olivine.data.samples import Samples, named
from olivine.experiments.recipes import demo, recipe
from olivine.labels.config import LabelConfig
from olivine.labels.job import label
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import NullTracker
from olivine.training import pretrain
from olivine.training.config import PretrainConfig
from olivine.training.pretrain_data import PretrainData
from olivine.training.worker import LocalWorker
from tests.support.plugins import write_files, write_loss
from tests.support.run_stores.tiny_runs import tiny_runtime
from tests.support.small import SMALL

SHORT = {**SMALL, "pretrained.num_epochs": 1, "pretrained.data.split": "mini_train",
         "pretrained.data.version": "v1.0-mini"}  # fmt: skip
LOSS = "pretrained.method.terms.pixel.loss.kind"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))


def ppkt(folder: Path) -> PretrainConfig:
    kinds = {
        LOSS: f"{folder}/my_loss.py:MyLoss",
        "pretrained.data.kind": f"{folder}/my_set.py:MySet",
    }
    return recipe("demo_ppkt").override(kinds).override(SHORT).pretrained


def num_points(samples: Samples) -> int:
    return len(samples[0, 1].xyz_m)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_that_loads_data_reads_with_a_file(
    method: str, tiny_world: Path, tmp_path: Path
) -> None:
    config = ppkt(write_files(tmp_path / "mine"))
    runtime = tiny_runtime(tiny_world, tmp_path / "out")
    frames = config.data.open(runtime.data_path(), runtime.cache_path())
    data = PretrainData.open(config, runtime, frames)
    samples = Samples(data, named(config.augmentations), config.seed)
    assert Collate(config.voxels)([samples[0, 1]]).tokens == (frames.tokens()[1],)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(num_points, (samples,)) == num_points(samples)


def test_an_edited_loss_is_trained_and_an_old_one_found_again(
    tiny_world: Path, tmp_path: Path
) -> None:
    runtime = tiny_runtime(tiny_world, tmp_path / "out")
    tracker = MlflowTracker(runtime.store_uri())
    tracker.ensure_store()

    def result(scale: float, **how: bool) -> pretrain.PretrainResult:
        write_files(tmp_path / "mine")
        write_loss(tmp_path / "mine", scale)
        config = ppkt(tmp_path / "mine")
        return pretrain.find_or_pretrain(config, runtime, LocalWorker(), tracker, **how)

    first, edited, again = result(1.0), result(100.0), result(1.0)
    assert first.num_steps == edited.num_steps > 0
    assert first.key != edited.key
    assert (again.key, again.num_steps) == (first.key, 0)
    assert again.reused is not None
    assert str(again.reused).startswith("Reused the pretraining of 20")
    (run,) = (run for run in tracker.records("pretrain") if run.key == edited.key)
    copies = tmp_path.glob(f"out/artifacts/*/{run.run_id}/artifacts/user_code/*/*.py")
    assert {path.name for path in copies} == {"my_loss.py", "my_set.py", "helper.py"}
    losses = {
        run.key.fingerprint: tracker.history(run.run_id, "pretrain/loss")[1]
        for run in tracker.records("pretrain")
    }
    assert losses[edited.key.fingerprint] == pytest.approx(
        100 * losses[first.key.fingerprint], rel=1e-4
    )
    forced = result(1.0, force=True)
    assert (forced.key, forced.num_steps, forced.reused) == (first.key, first.num_steps, None)


def test_an_edited_reader_of_a_data_set_meets_no_maps_of_the_old_one(
    tiny_world: Path, tmp_path: Path
) -> None:
    runtime = tiny_runtime(tiny_world, tmp_path / "out")
    paths = []
    for edit in ("", "# another way to read\n"):
        path = write_files(tmp_path / "mine") / "my_set.py"
        path.write_text(path.read_text() + edit)
        config = (
            demo().override({"pretrained.data.kind": f"{path}:MySet"}).override(SHORT).pretrained
        )
        assert config.labels is not None
        job = LabelConfig(dataset=config.data, labeller=config.labels)
        result = label(job, runtime, NullTracker())
        assert result.num_labelled == result.num_images > 0
        paths.append(result.path)
    assert paths[0] != paths[1]
