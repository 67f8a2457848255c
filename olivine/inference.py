"""The use of a pretraining's weights: the features of every point of a scan.

backbone = load_backbone("runs/pretrained/0123456789ab/backbone.pt")
features = PointEncoder(backbone)(xyz_m, intensity)
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import yaml
from jaxtyping import Float
from torch import nn

from olivine.core.devices import choose_device
from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.geometry.voxelization import voxelize
from olivine.training.checkpoints import parse_state
from olivine.training.config import PretrainConfig
from olivine.training.pretrain import NUM_INPUT_CHANNELS, fit_weights

Scan = Float[np.ndarray, "points 3"]
Values = Float[np.ndarray, " points"]


@dataclass(frozen=True)
class PretrainedBackbone:
    """A 3D network with the weights of a pretraining, and the settings that made it."""

    network: nn.Module  # voxels to one feature row per voxel; in evaluation mode, on the CPU
    config: PretrainConfig

    @property
    def num_channels(self) -> int:
        """Channels of a feature."""
        return self.config.backbone.num_channels


def load_backbone(source: str | Path) -> PretrainedBackbone:
    """Return the backbone that a pretraining left in a file, local or in a bucket.

    Raises UserError for a file that is not there or is no pretraining's.
    """
    return read_backbone(_read(source), str(source))


def read_logged_backbone(source: str, sha256: str) -> PretrainedBackbone:
    """Return the backbone of a model in MLflow, which knows its file's name and hash.

    Raises UserError if the file is another one now.
    """
    data = _read(source)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{source} is not the file that this model was logged with.")
    return read_backbone(data, source)


def _read(source: str | Path) -> bytes:
    folder, _, name = str(source).rpartition("/")
    return Store(folder or ".").read(name)


def read_backbone(data: bytes, source: str) -> PretrainedBackbone:
    """Return the backbone of a file's content; `source` is the file's name, for errors.

    Raises UserError for what no pretraining wrote.
    """
    state = parse_state(data, source)
    if not (isinstance(state, dict) and {"backbone", "config"} <= state.keys()):
        raise UserError(
            f"{source} is not what a pretraining left, a backbone.pt below <out>/pretrained/. A "
            "checkpoint of another program is "
            "evaluated by --set pretrained.backbone.weights=FILE."
        )
    config = PretrainConfig.from_dict(yaml.safe_load(state["config"]))
    network = config.backbone.build(NUM_INPUT_CHANNELS)
    assert isinstance(network, nn.Module)
    fit_weights(network, state["backbone"], source)
    return PretrainedBackbone(network.eval(), config)


class PointEncoder:
    """Gives the feature of every point: that of its voxel.

    `outside` says what a point outside the voxels' range gets: the feature of the nearest voxel
    of its scan, as in an evaluation, or NaN.
    """

    def __init__(
        self,
        backbone: PretrainedBackbone,
        device: str = "auto",
        outside: Literal["nearest", "nan"] = "nearest",
    ):
        self.device = choose_device(device)
        self.num_channels = backbone.num_channels
        self._voxels = backbone.config.voxels
        self._network = backbone.network.to(self.device)
        self._outside = outside

    def __call__(self, xyz_m: Scan, intensity: Values) -> Float[np.ndarray, "points channels"]:
        """Return the float32 features of one scan's points.

        `xyz_m` are positions in the LiDAR's frame in metres, `intensity` is as the sensor gives it.
        Raises UserError for a scan without a finite point in range.
        """
        return self.encode([xyz_m], [intensity])[0]

    def encode(
        self, xyz_m: Sequence[Scan], intensity: Sequence[Values]
    ) -> list[Float[np.ndarray, "_ channels"]]:
        """Return the features of several scans, in one pass through the network."""
        voxels = voxelize(
            self._voxels, list(xyz_m), list(intensity), every_point=self._outside == "nearest"
        )
        with torch.no_grad():
            rows = self._network(voxels.to(self.device)).float().cpu()
        voxel_of_point = voxels.voxel_of_point
        features = torch.full((len(voxel_of_point), rows.shape[1]), torch.nan)
        has_voxel = voxel_of_point >= 0
        features[has_voxel] = rows[voxel_of_point[has_voxel]]
        sizes = [len(scan) for scan in xyz_m]
        return [part.numpy() for part in features.split(sizes)]
