"""What an earlier version left is still of use: its runs are found, reused, tabulated and loaded.

`<version>.tar.xz` is a small store of each released version, made by `make.sh`.
"""

import re
import shutil
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import read_yaml
from olivine.core.storage import Store
from olivine.data.identity.split import SplitIdentity
from olivine.inference import PointClassifier, PointEncoder, load_backbone, load_segmenter
from olivine.labels.config import LabelConfig
from olivine.labels.current import adopt_labels
from olivine.labels.opened_job import open_job
from olivine.labels.store import LabelStore
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.write import write_results
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunRecord
from olivine.training import evaluate, pretrain
from olivine.training.checkpoints import Checkpoints
from olivine.training.config import EvaluateConfig
from olivine.training.data_use import why_not_reused
from olivine.training.experiment_data import ExperimentData
from olivine.training.pretrain import check_labels
from olivine.training.pretrained_networks import build_model
from olivine.training.validation import predictions_name, read_predictions

HERE = Path(__file__).parent
ARCHIVES = sorted(HERE.glob("*.tar.xz"))


@dataclass(frozen=True)
class OldStore:
    """A store where a lab has it, and how to ask for its one experiment again."""

    root: Path
    runtime: Runtime
    tracker: MlflowTracker
    config: EvaluateConfig  # of `olivine evaluate`, as the run keeps it


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OldStore:
    folder = tmp_path_factory.mktemp("store")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    relocate(root, f"/srv/{root.name}")
    runtime = Runtime(
        data_root=str(root / "nuscenes"),
        out=str(root / "out"),
        cache_dir=str(root / "cache"),
        device="cpu",
    )
    tracker = MlflowTracker(runtime.store_uri())
    tracker.ensure_store()
    run = of_demo(tracker, "evaluate")
    (path,) = root.glob(f"out/artifacts/*/{run.run_id}/artifacts/config.yaml")
    config = EvaluateConfig.from_dict(read_yaml(path))
    return OldStore(root, runtime, tracker, config)


def of_demo(tracker: MlflowTracker, stage: str) -> RunRecord:
    """Return the run that pretrained at all, with seed 0."""
    wanted = {"pretrained.num_epochs": "2", "pretrained.seed": "0"}
    (run,) = (run for run in tracker.records(stage) if wanted.items() <= run.settings.items())
    return run


def relocate(root: Path, made_at: str) -> None:
    """Have a store say that it lies where it was extracted; its version kept whole paths."""
    for path in root.rglob("*"):
        if path.suffix in {".yaml", ".json"} or path.name == "MLmodel":
            path.write_text(path.read_text().replace(made_at, str(root)))
    with sqlite3.connect(root / "out" / "mlflow.db") as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for column in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                if re.match("VARCHAR|TEXT", column[2]):
                    name = column[1]
                    database.execute(
                        f'UPDATE "{table}" SET "{name}" = REPLACE("{name}", ?, ?) '
                        f'WHERE "{name}" LIKE ?',
                        (made_at, str(root), f"%{made_at}%"),
                    )


def test_every_run_is_found_with_its_scores(store: OldStore) -> None:
    for stage, number in {"sweep": 1, "trial": 4, "pretrain": 4, "evaluate": 4, "label": 1}.items():
        runs = store.tracker.records(stage)
        assert [run.status for run in runs] == ["FINISHED"] * number, stage
    for run in store.tracker.records("trial"):
        assert 0 < run.metrics["miou"] < 100


def test_finished_work_is_not_reused_and_says_why(
    store: OldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions before 0.3 knew data by their tables alone; the archive has few of the files."""
    monkeypatch.setattr(SplitIdentity, "require", lambda self, *parts: None)
    shutil.rmtree(store.root / "cache", ignore_errors=True)  # another machine has none
    config, runtime, tracker = store.config, store.runtime, store.tracker
    data = ExperimentData.open(config, runtime)
    assert pretrain.finished(config.pretrained, data.pretrain, runtime, tracker) is None
    assert evaluate.finished(config, data, runtime, tracker) is None
    words = "has the same settings and is not reused: a version before 0.3 made it"
    settings = pretrain.PretrainSettings(pretrained=config.pretrained)
    uses = (pretrain.data_use(config.pretrained, data.pretrain),)
    assert words in why_not_reused("pretrain", settings, uses, tracker)
    assert words in why_not_reused("evaluate", config, evaluate.data_uses(data), tracker)


def test_its_scores_are_those_that_it_printed(store: OldStore) -> None:
    metrics = of_demo(store.tracker, "evaluate").metrics
    scores = {name: value for name, value in metrics.items() if name.startswith(evaluate.SCORE)}
    printed = dict(
        line.split()[:2] for line in (store.root / "evaluated.txt").read_text().splitlines()
        if line.endswith(" %")
    )  # fmt: skip
    assert printed
    found = {name.removeprefix(evaluate.SCORE): f"{score:.2f}" for name, score in scores.items()}
    assert found == printed


def test_its_table_is_the_table_of_then(store: OldStore, tmp_path: Path) -> None:
    write_results("components", store.runtime, store.tracker, tmp_path, formats=["csv"])
    new = pd.read_csv(tmp_path / "ablation.csv")
    old = pd.read_csv(store.root / "out" / "tables" / "components" / "ablation.csv")
    pd.testing.assert_frame_equal(new[old.columns], old)
    assert (new["not_reusable"] > 0).all()
    write_results(
        "components", store.runtime, store.tracker, tmp_path, formats=["md", "tex", "html"]
    )
    for name in ("ablation.md", "ablation.html"):
        text = (tmp_path / name).read_text()
        assert " †" in text
        assert "shown and never reused" in text
    assert r"$^{\dagger}$" in (tmp_path / "ablation.tex").read_text()


def test_its_trials_are_told_by_the_sweep_that_asked_for_them(
    store: OldStore, tmp_path: Path
) -> None:
    spec = TableSpec(by=("sweep", "row"))
    write_results("all", store.runtime, store.tracker, tmp_path, spec=spec, formats=["csv"])
    methods = pd.read_csv(tmp_path / "ablation.csv")["method"]
    assert set(methods) == {"components, random", "components, OLIVINE"}


def scan() -> np.ndarray:
    generator = np.random.default_rng(0)
    xyz_m = generator.uniform([-20, -20, -2], [20, 20, 2], (500, 3))
    return np.concatenate([xyz_m, generator.uniform(0, 255, (500, 1))], axis=1).astype(np.float32)


def test_its_logged_model_loads_and_gives_the_features_of_its_weights(
    store: OldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracker.uri)
    client, points = open_client(store.tracker.uri), scan()
    pretrainings = store.tracker.records("pretrain")
    for run in pretrainings:
        experiment = client.get_run(run.run_id).info.experiment_id
        (model,) = client.search_logged_models([experiment], f"source_run_id = '{run.run_id}'")
        features = mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(points)
        weights = f"{store.runtime.out}/pretrained/{run.key.fingerprint}/backbone.pt"
        encoder = PointEncoder(load_backbone(weights), device="cpu")
        expected = encoder(points[:, :3], points[:, 3])
        np.testing.assert_array_equal(features, expected)
        assert np.isfinite(features).all()
    assert len(pretrainings) == 4


def test_its_evaluation_predicts_what_it_predicted_then(store: OldStore) -> None:
    """The predictions of the first validation frame were kept; another processor rounds else."""
    fingerprint = of_demo(store.tracker, "evaluate").key.fingerprint
    network = load_segmenter(fingerprint, out=store.runtime.out)
    then = read_predictions(Store(store.runtime.out), predictions_name(fingerprint))
    frames = store.config.val.open(store.runtime.data_path(), store.runtime.cache_path())
    frame = frames.frame(0, images=False)
    predicted = PointClassifier(network, device="cpu")(frame.xyz_m, frame.intensity)
    assert network.class_names == tuple(then["class_names"].tolist())
    assert (predicted == then["predicted"]).mean() > 0.999


def test_its_backbones_are_found_by_their_runs(store: OldStore) -> None:
    for run in store.tracker.records("pretrain"):
        by_run = load_backbone(run.run_id, out=store.runtime.out)
        by_file = load_backbone(f"{store.runtime.out}/pretrained/{run.key.fingerprint}/backbone.pt")
        assert by_run.weights_sha256() == by_file.weights_sha256()


def test_its_checkpoints_fit_the_networks_of_now(store: OldStore) -> None:
    run = of_demo(store.tracker, "pretrain")
    folder = f"pretrained/{run.key.fingerprint}/checkpoints"
    state = Checkpoints(Store(store.runtime.out), folder).latest()
    assert state is not None
    assert state["step"] == 8
    build_model(store.config.pretrained, 16).load_state_dict(state["module"])


def test_its_labels_are_read(store: OldStore) -> None:
    labeller = store.config.pretrained.labels
    assert labeller is not None
    frames = store.config.pretrained.data.open(
        store.runtime.data_path(), store.runtime.cache_path()
    )
    labels = LabelStore.before_0_3(store.runtime.out, frames, labeller)
    assert not labels.records_images
    job = LabelConfig(dataset=store.config.pretrained.data, labeller=labeller)
    for open_anew in (
        lambda: open_job(job, store.runtime),
        lambda: check_labels(store.config.pretrained, store.runtime),
    ):
        with pytest.raises(
            UserError, match=r"made by a version before 0\.3, .*olivine label --adopt"
        ):
            open_anew()
    assert labels.class_names == labeller.class_names
    finished, failed = labels.listing()
    assert len(finished) == 6
    assert not failed
    for name in frames.image_names():
        if Path(name).with_suffix(".png").as_posix() in finished:
            assert labels.read(name).shape == (90, 160)
    adopt_labels(LabelStore.of(store.runtime.out, frames, labeller), frames, job, store.runtime)
    taken = open_job(job, store.runtime)
    assert taken.num_finished == 6
    assert taken.store.path != labels.path
    check_labels(store.config.pretrained, store.runtime)
