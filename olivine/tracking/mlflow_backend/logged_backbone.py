"""The code of a logged model: MLflow copies this file to the model and runs the copy to load it.

`mlflow.pyfunc.load_model("models:/m-…").predict(points)` takes one scan, float32 (N, 4) rows of
x, y, z in metres and intensity as the sensor gives it, and returns features (N, D): each point's
row is that of its voxel, and points outside the voxels' range have rows of NaN.

A copy of this file may be read by a later version of olivine, so it imports one module, whose
names stay.
"""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from olivine.inference import PointEncoder, read_logged_backbone


class PretrainedBackbone(PythonModel):
    """A pretrained backbone with its weights, on the CPU."""

    def load_context(self, context: Any) -> None:
        """Read the weights; raise UserError if they changed since the model was logged."""
        config = context.model_config
        backbone = read_logged_backbone(
            context.artifacts.get("weights", config["weights"]), config["sha256"]
        )
        self._encoder = PointEncoder(backbone, device="cpu", outside="nan")

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Return the feature row of every point."""
        points = np.asarray(model_input, dtype=np.float32)
        return self._encoder(points[:, :3], points[:, 3])


set_model(PretrainedBackbone())
