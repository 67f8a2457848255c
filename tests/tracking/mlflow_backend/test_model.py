"""A pretrained backbone as a logged model: found by its run, loaded by MLflow alone."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.geometry.voxelization import voxelize
from olivine.experiments.recipes import demo_random
from olivine.tracking.mlflow_backend.client import open_client
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey
from olivine.training.pretrain import PretrainSettings
from olivine.training.pretrained_networks import build_model
from olivine.training.pretrained_weights import save_weights
from tests.support.small import SMALL

NAME = "pretrained/0123/backbone.pt"


@pytest.fixture(scope="module")
def config():
    settings = {
        "pretrained.backbone.planes": [8, 16, 16, 8],
        "pretrained.backbone.stem_channels": 8,
        "pretrained.voxels.range_m": [-20, -20, -5, 20, 20, 3],
    }
    assert SMALL["pretrained.backbone.planes"] == settings["pretrained.backbone.planes"]
    return demo_random().override(settings).pretrained


@pytest.fixture(scope="module")
def points():
    generator = np.random.default_rng(0)
    xyz_m = generator.uniform([-25, -25, -4], [25, 25, 2], (400, 3))
    return np.concatenate([xyz_m, generator.uniform(0, 255, (400, 1))], axis=1).astype(np.float32)


@pytest.fixture(params=[False, True], ids=["by place", "with a copy"])
def logged(request, tmp_path, config):
    """The tracker, the run's id and the folder with the weights; the model is logged twice."""
    out = tmp_path / "out"
    backbone = build_model(config, 1).backbone
    save_weights(Store(out), NAME, backbone.state_dict(), config)
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", copy_weights=request.param)
    key, settings = RunKey("pretrain", "0123"), PretrainSettings(pretrained=config)
    with tracker.run(key, "pretrain", settings) as run:
        for _ in range(2):  # as a writer does that was interrupted
            run.log_model(
                "backbone", Store(out).path(NAME), config.to_yaml(), config.backbone.num_channels
            )
    return tracker, run.run_id, out, backbone


def models_of(tracker: MlflowTracker, run_id: str):
    client = open_client(tracker.uri)
    experiment = client.get_run(run_id).info.experiment_id
    return client.search_logged_models([experiment], f"source_run_id = '{run_id}'")


def test_it_is_there_once_with_signature_recipe_and_hash(logged, config, tmp_path):
    tracker, run_id, out, _ = logged
    (model,) = models_of(tracker, run_id)
    assert (model.name, model.status, model.model_type) == ("backbone", "READY", "backbone")
    assert model.tags["weights"] == f"{out}/{NAME}"
    assert len(model.tags["weights.sha256"]) == 64
    outputs = open_client(tracker.uri).get_run(run_id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [model.model_id]
    folder = Path(model.artifact_location.removeprefix("file://"))
    assert (folder / "artifacts/recipe.yaml").read_text() == config.to_yaml()
    assert (folder / "artifacts/backbone.pt").exists() == tracker.copy_weights
    read = mlflow.models.Model.load(folder)
    assert read.signature.inputs.inputs[0].shape == (-1, 4)
    assert read.signature.outputs.inputs[0].shape == (-1, config.backbone.num_channels)


def test_mlflow_loads_it_and_it_gives_the_backbones_features(logged, config, points, monkeypatch):
    tracker, run_id, out, backbone = logged
    (model,) = models_of(tracker, run_id)
    if tracker.copy_weights:
        shutil.rmtree(out)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    features = loaded.predict(points)
    voxels = voxelize(config.voxels, [points[:, :3]], [points[:, 3]])
    with torch.no_grad():
        rows = backbone.eval()(voxels)
    is_inside = (voxels.voxel_of_point >= 0).numpy()
    assert 0 < is_inside.sum() < len(points)
    np.testing.assert_allclose(
        features[is_inside], rows[voxels.voxel_of_point[is_inside]].numpy(), rtol=1e-5
    )
    assert np.isnan(features[~is_inside]).all()


def test_weights_that_changed_since_are_told(logged, config, monkeypatch):
    tracker, run_id, out, _ = logged
    (model,) = models_of(tracker, run_id)
    Store(out).write(NAME, b"others")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    if tracker.copy_weights:
        mlflow.pyfunc.load_model(f"models:/{model.model_id}")
        return
    with pytest.raises(UserError, match="is not the file that this model was logged with"):
        mlflow.pyfunc.load_model(f"models:/{model.model_id}")
