"""The code of a logged model: MLflow copies this file beside the model and runs it to load one.

`mlflow.pyfunc.load_model("models:/m-…").predict(points)` takes one scan, float32 (N, 4) rows of
x, y, z in metres and intensity as the sensor gives it, and returns features (N, D): each point's
row is that of its voxel, and points outside the voxels' range have rows of NaN.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from torch import nn

from olivine.config import PretrainConfig
from olivine.errors import UserError
from olivine.pretrain import NUM_INPUT_CHANNELS
from olivine.spec import read_yaml
from olivine.storage import Store


class PretrainedBackbone(PythonModel):
    """A backbone with the weights that a pretraining left, on the CPU."""

    def load_context(self, context: Any) -> None:
        """Build the network of the recipe and read its weights; raise UserError if they changed."""
        place, artifacts = context.model_config, context.artifacts
        self._config = PretrainConfig.from_dict(read_yaml(Path(artifacts["recipe"])))
        if "weights" in artifacts:
            data = Path(artifacts["weights"]).read_bytes()
        else:
            folder, _, name = place["weights"].rpartition("/")
            data = Store(folder).read(name)
        if hashlib.sha256(data).hexdigest() != place["sha256"]:
            raise UserError(f"{place['weights']} is not the file that this model was logged with.")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        backbone = self._config.backbone.build(NUM_INPUT_CHANNELS)
        assert isinstance(backbone, nn.Module)
        backbone.load_state_dict(state["backbone"])
        self._backbone = backbone.eval()

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Return the feature row of every point."""
        points = np.asarray(model_input, dtype=np.float32)
        voxels = self._config.voxels.voxelize([points[:, :3]], [points[:, 3]])
        with torch.no_grad():
            rows = self._backbone(voxels)
        features = torch.full((len(points), rows.shape[1]), torch.nan)
        is_inside = voxels.voxel_of_point >= 0
        features[is_inside] = rows[voxels.voxel_of_point[is_inside]]
        return features.numpy()


set_model(PretrainedBackbone())
