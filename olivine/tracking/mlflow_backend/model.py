"""A pretrained backbone as a logged model: its recipe, its signature and the path of its weights.

The weights are large and already below `runtime.out`, so the model holds their path and SHA-256,
and they are read from there when the model is loaded. `copy_weights` stores a copy with the model.
"""

import hashlib
import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from olivine.core.storage import Store
from olivine.tracking.tracker import LoggedWeights

CODE = Path(__file__).with_name("logged_backbone.py")
PACKAGES = ("olivine", "torch", "mlflow")  # needed to load the model
TYPE = "backbone"
HASH = "weights.sha256"  # tag of a model
# An example would only serve to run the model and derive its signature, which is known here.
warnings.filterwarnings("ignore", message=".*input example was not provided.*")


def describe_model(name: str, weights: str, recipe: str, num_channels: int) -> dict[str, Any]:
    """Return a model for `log_backbone` as plain values; the weights are read for their hash."""
    data = _read(weights)
    return {
        "name": name,
        "weights": weights,
        "sha256": hashlib.sha256(data).hexdigest(),
        "num_bytes": len(data),
        "recipe": recipe,
        "num_channels": num_channels,
    }


def log_backbone(
    client: MlflowClient,
    run_id: str,
    experiment_id: str,
    model: dict[str, Any],
    *,
    copy_weights: bool = False,
) -> LoggedModel:
    """Log a model as output of a run, or complete an earlier attempt, and return it.

    `model` is what `describe_model` returns.
    """
    logged = _begun(client, run_id, experiment_id, model)
    if logged.status == "READY":
        return logged
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), logged, run_id, model, copy_weights)
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    outputs = client.get_run(run_id).outputs.model_outputs
    if logged.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, "READY")


def weights_of(client: MlflowClient, run_id: str) -> LoggedWeights | None:
    """Return the location and the hash of the weights of a run's newest complete model."""
    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    whole = [model for model in logged if model.status == "READY" and HASH in model.tags]
    if not whole:
        return None
    newest = max(whole, key=lambda model: model.creation_timestamp)
    return LoggedWeights(newest.tags["weights"], newest.tags[HASH])


def _begun(
    client: MlflowClient, run_id: str, experiment_id: str, model: dict[str, Any]
) -> LoggedModel:
    name, sha256 = model["name"], model["sha256"]
    known = client.search_logged_models(
        [experiment_id], f"name = '{name}' AND source_run_id = '{run_id}'"
    )
    for logged in known:
        if logged.tags.get(HASH) == sha256:
            return logged
    return client.create_logged_model(
        experiment_id,
        name,
        run_id,
        tags={
            "weights": model["weights"],
            HASH: sha256,
            "weights.num_bytes": str(model["num_bytes"]),
        },
        params={"num_channels": str(model["num_channels"])},
        model_type=TYPE,
    )


def _write(
    folder: Path, logged: LoggedModel, run_id: str, model: dict[str, Any], copy_weights: bool
) -> None:
    """Write MLflow's files of a model below `folder`."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(model["recipe"])
    artifacts = {"recipe": str(recipe)}
    if copy_weights:
        weights = folder / "backbone.pt"
        weights.write_bytes(_read(model["weights"]))
        artifacts["weights"] = str(weights)
    mlflow.pyfunc.save_model(
        folder / "model",
        mlflow_model=Model(model_id=logged.model_id, run_id=run_id),
        python_model=str(CODE),
        artifacts=artifacts,
        model_config={"weights": model["weights"], "sha256": model["sha256"]},
        signature=_signature(model["num_channels"]),
        pip_requirements=_requirements(),
    )
    shutil.rmtree(folder / "model" / "code", ignore_errors=True)


def _signature(num_channels: int) -> ModelSignature:
    floats = np.dtype(np.float32)
    return ModelSignature(
        inputs=Schema([TensorSpec(floats, (-1, 4))]),
        outputs=Schema([TensorSpec(floats, (-1, num_channels))]),
    )


def _requirements() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            version = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
            found.append(package)
        else:
            found.append(f"{package}=={version}")
    return found


def _read(path: str) -> bytes:
    folder, _, name = path.rpartition("/")
    return Store(folder).read(name)
