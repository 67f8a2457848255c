"""User code on workers that have neither its file nor the copies of the driver."""

import importlib
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.plugins.code_cache import VARIABLE
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import UserCode
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.recipes import demo
from olivine.experiments.sweep import Sweep, expand
from olivine.labels.config import LabelConfig
from olivine.runners.on_ray.evaluate import trial
from olivine.runners.on_ray.label import label_on_ray
from olivine.runners.on_ray.pretrain import pretrain_on_ray
from olivine.runners.on_ray.sweep import run_sweep
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.training.config import EvaluateConfig
from olivine.training.evaluate import evaluation_key
from olivine.training.experiment_data import ExperimentData
from tests.support.plugins import FILES, forget, install, write_files
from tests.support.run_stores.tiny_runs import tiny_runtime
from tests.support.small import SMALL

pytestmark = pytest.mark.slow

LOSS, NET = "pretrained.method.terms.pixel.loss.kind", "pretrained.backbone.kind"
DATA, LABELS = "pretrained.data.kind", "pretrained.labels.kind"
SHORT = {
    **SMALL,
    "pretrained.method.terms.class.weight": 0,
    "pretrained.method.terms.compact.weight": 0,
    "pretrained.backbone.blocks": [1, 1, 1, 1],
    "pretrained.num_epochs": 1,
    "num_epochs": 1,
}


@pytest.fixture
def driver(local_ray: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Keep the driver's copies where no worker looks; its Ray has started before."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "drivers"))
    yield
    monkeypatch.undo()
    forget("theirs")


def experiment(kinds: dict[str, str]) -> EvaluateConfig:
    """Return the demo's pixel term, small, with some parts of another kind."""
    config = demo().override(kinds).override(SHORT)
    version = {"pretrained.data.version": "v1.0-mini", "pretrained.data.split": "mini_train"}
    return config.override(version if DATA in kinds else {})


def from_files(folder: Path, *names: str) -> dict[str, str]:
    every = {LOSS: "my_loss.py:MyLoss", DATA: "my_set.py:MySet", LABELS: "my_labels.py:Halves"}
    every[NET] = "my_net.py:MyNet"
    return {name: f"{folder}/{every[name]}" for name in names or every}


def hide(folder: Path, tmp_path: Path) -> None:
    """Remove the files, and the driver's copies once a job has taken them along."""
    shutil.rmtree(folder)
    assert (tmp_path / "drivers").is_dir()


@pytest.mark.parametrize(
    "runtime",
    [
        {"num_workers": 2, "num_loader_workers": 1},
        {"num_workers": 1, "feed": "ray_data", "num_loader_workers": 1},
    ],
    ids=["loader processes", "Ray Data's actors"],
)
def test_files_train_on_workers_that_never_saw_them(
    runtime: dict, driver: None, tiny_world: Path, tmp_path: Path, workers_place: Path
) -> None:
    config = experiment(from_files(write_files(tmp_path / "mine"), LOSS, DATA, NET))
    hide(tmp_path / "mine", tmp_path)
    here = tiny_runtime(tiny_world, tmp_path / "out").override(runtime)
    tracker = MlflowTracker(here.store_uri())
    pretrain_on_ray(config.pretrained, here, tracker)
    (record,) = tracker.records("pretrain")
    assert record.status == "FINISHED"
    assert record.settings[LOSS] == config.pretrained.method.terms["pixel"].loss.kind
    for part in UserCode.of(config).parts:
        assert (workers_place / "kept" / part.code).is_dir()


def test_a_file_labels_on_actors_that_never_saw_it(
    driver: None, tiny_world: Path, tmp_path: Path
) -> None:
    config = experiment(from_files(write_files(tmp_path / "mine"), DATA, LABELS))
    hide(tmp_path / "mine", tmp_path)
    assert config.pretrained.labels is not None
    job = LabelConfig(dataset=config.pretrained.data, labeller=config.pretrained.labels)
    here = tiny_runtime(tiny_world, tmp_path / "out")
    result = label_on_ray(job, here, MlflowTracker(here.store_uri()))
    assert result.num_labelled == result.num_images > 0
    assert result.class_pixels["above"] == result.class_pixels["below"] > 0


def ask(config: EvaluateConfig, rows: dict, runtime: Runtime) -> ExpandedSweep:
    asked = Sweep(
        name="theirs", question="?", metric="miou", recipe="demo", rows=rows, seeds=(0,),
        seed_names=("seed", "pretrained.seed"),
    )  # fmt: skip

    def identify(one: EvaluateConfig) -> str:
        return evaluation_key(one, ExperimentData.open(one, runtime)).fingerprint

    return ExpandedSweep(asked, expand(asked, config, identify), config, identify)


def test_a_sweeps_rows_are_files_that_no_trial_sees(
    driver: None, tiny_world: Path, tmp_path: Path
) -> None:
    files = write_files(tmp_path / "mine")
    here = tiny_runtime(tiny_world, tmp_path / "out")
    rows = {"ours": {}, "theirs": from_files(files, LOSS)}
    question = ask(experiment({}), rows, here)
    hide(files, tmp_path)
    tracker = MlflowTracker(here.store_uri())
    outcome = run_sweep(question, trial, here, tracker, log=lambda _: None)
    assert outcome.failures == {}
    assert len(outcome.finished) == 2
    kinds = {run.tags["olivine.row"]: run.settings[LOSS] for run in outcome.finished.values()}
    assert kinds["ours"] == "info_nce"
    assert kinds["theirs"].startswith("my_loss.py:MyLoss@")


@pytest.fixture
def package(driver: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Install the parts as a package of the driver's; return their kinds."""
    files = {name: text.replace("from helper", "from .helper") for name, text in FILES.items()}
    install(tmp_path, monkeypatch, "theirs", {"__init__.py": "", **files})
    names = {LOSS: "my_loss:MyLoss", DATA: "my_set:MySet", LABELS: "my_labels:Halves"}
    return {name: f"theirs.{where}" for name, where in names.items()}


def train(config: EvaluateConfig, runtime: Runtime) -> None:
    pretrain_on_ray(config.pretrained, runtime, MlflowTracker(runtime.store_uri()))


def make_labels(config: EvaluateConfig, runtime: Runtime) -> None:
    assert config.pretrained.labels is not None
    job = LabelConfig(dataset=config.pretrained.data, labeller=config.pretrained.labels)
    label_on_ray(job, runtime, MlflowTracker(runtime.store_uri()))


def sweep(config: EvaluateConfig, runtime: Runtime) -> None:
    tracker = MlflowTracker(runtime.store_uri())
    question = ask(config, {"theirs": {}}, runtime)
    outcome = run_sweep(question, trial, runtime, tracker, log=lambda _: None)
    (reason,) = outcome.failures.values()
    raise UserError(reason)


@pytest.mark.parametrize("stage", [train, make_labels, sweep])
@pytest.mark.parametrize("there", ["nowhere", "another version"])
def test_a_package_that_a_worker_lacks_or_has_in_another_version_is_one_sentence(
    stage: Callable[[EvaluateConfig, Runtime], None],
    there: str,
    package: dict[str, str],
    tiny_world: Path,
    workers_place: Path,
) -> None:
    config = experiment(package)
    folder = workers_place.parent / uuid.uuid4().hex
    sentence = r"^A worker lacks a part that the job uses: .*No module named 'theirs'"
    installed = workers_place / "packages" / "theirs"
    if there == "another version":
        (theirs,) = importlib.import_module("theirs").__path__
        shutil.copytree(theirs, installed)
        (installed / "helper.py").write_text("SCALE = 2.0\n")
        sentence = r"^A worker has the part 'theirs.my_\w+:\w+' in another version"
    try:
        with pytest.raises(UserError, match=sentence) as caught:
            stage(config, tiny_runtime(tiny_world, folder))
    finally:
        shutil.rmtree(installed, ignore_errors=True)
    assert "\n" not in str(caught.value)


def test_what_travels_is_compared_by_its_hash(tmp_path: Path, driver: None) -> None:
    code = UserCode.of(demo().override(from_files(write_files(tmp_path / "mine"), LOSS)))
    (part,) = code.parts
    part.check()
    with pytest.raises(UserError, match="in another version"):
        replace(part, code="0" * 12).check()
