"""Features and classes of the points of scans, by a trained network."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from olivine.core.arguments import shown
from olivine.core.devices import Precision, autocast, choose_device
from olivine.core.errors import UserError
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.scans import Scan, checked_scan
from olivine.inference.networks import (
    EvaluatedNetwork,
    PretrainedBackbone,
    check_backbone_type,
    check_evaluated_type,
)


class PointEncoder:
    """Computes the feature of every point of a scan, which is that of its voxel.

    `device` is "auto", "cpu", "cuda" or "cuda:1". A point outside the voxels' range gets the
    feature of the nearest voxel of its scan, as in an evaluation (`outside="nearest"`), or NaN
    ("nan"). Raises UserError for a GPU that is not there.
    """

    def __init__(
        self,
        backbone: PretrainedBackbone,
        device: str = "auto",
        outside: str = "nearest",
    ):
        if outside not in ("nearest", "nan"):
            raise UserError(f"outside takes 'nearest' or 'nan'; it was given {outside!r}.")
        check_backbone_type(backbone)
        self.device = choose_device(device)
        self.num_channels = backbone.num_channels
        self._network = _on(backbone.network, self.device)
        self._voxels, self._precision = backbone.config.voxels, backbone.precision
        self._outside = outside

    def __call__(self, points: Any, intensity: Any = None) -> Float[np.ndarray, "points channels"]:
        """Return the float32 features of one scan, one row per point, in the points' order.

        `points` is (points, 3), positions in the LiDAR's frame in metres, with `intensity`
        (points,) as the sensor gives it (nuScenes: 0 to 255); or, without `intensity`, (points, 4
        or more) whose fourth column is the intensity. Raises UserError for other shapes, for
        values that are not finite and for a scan without a point in range.
        """
        return self.encode([points], None if intensity is None else [intensity])[0]

    def encode(
        self, points: Iterable[Any], intensity: Iterable[Any] | None = None
    ) -> list[Float[np.ndarray, "_ channels"]]:
        """Return the features of several scans, in one pass through the network.

        They equal, to the last bit, those of an evaluation of the same scans in one batch on the
        same device; another batch may round differently.
        """
        scans = _checked(points, intensity)
        rows, voxel_of_point = _per_voxel(
            self._network, self._voxels, self._precision, self.device, scans,
            every_point=self._outside == "nearest",
        )  # fmt: skip
        features = torch.full((len(voxel_of_point), rows.shape[1]), torch.nan)
        has_voxel = voxel_of_point >= 0
        features[has_voxel] = rows.float()[voxel_of_point[has_voxel]]
        return [part.numpy() for part in features.split([len(scan.xyz_m) for scan in scans])]


class PointClassifier:
    """Predicts the class of every point of a scan, as the evaluation that trained the head did.

    A point outside the voxels' range gets the class of the nearest voxel. An id is a position in
    `class_names`. Raises UserError for a GPU that is not there.
    """

    def __init__(self, evaluated: EvaluatedNetwork, device: str = "auto"):
        check_evaluated_type(evaluated)
        self.device = choose_device(device)
        self.class_names = evaluated.class_names
        self._network = _on(evaluated.network, self.device)
        self._voxels = evaluated.config.pretrained.voxels
        self._precision = evaluated.config.precision

    def __call__(self, points: Any, intensity: Any = None) -> UInt8[np.ndarray, " points"]:
        """Return the class id of every point of one scan; arguments are those of `PointEncoder`."""
        return self.classify([points], None if intensity is None else [intensity])[0]

    def classify(
        self, points: Iterable[Any], intensity: Iterable[Any] | None = None
    ) -> list[UInt8[np.ndarray, " _"]]:
        """Return the class ids of several scans, in one pass through the network."""
        scans = _checked(points, intensity)
        logits, voxel_of_point = _per_voxel(
            self._network, self._voxels, self._precision, self.device, scans, every_point=True
        )
        class_ids = logits.argmax(dim=1)[voxel_of_point].to(torch.uint8)
        return [part.numpy() for part in class_ids.split([len(scan.xyz_m) for scan in scans])]


def _checked(given: Iterable[Any], intensity: Iterable[Any] | None) -> list[Scan]:
    """Return checked scans; errors name one of several by its number, counted from 0."""
    points = _listed("scans", given)
    if not points:
        raise UserError("No scan was given: give at least one.")
    values = [None] * len(points) if intensity is None else _listed("intensities", intensity)
    if len(values) != len(points):
        raise UserError(
            f"{len(points)} scans and {len(values)} arrays of intensities were given: give one "
            "for each."
        )
    names = ["the scan"] if len(points) == 1 else [f"scan {n}" for n in range(len(points))]
    return [checked_scan(*one) for one in zip(points, values, names, strict=True)]


def _listed(what: str, given: Iterable[Any]) -> list[Any]:
    try:
        return list(given)
    except TypeError:  # also of an array without an axis
        raise UserError(f"Give a list of arrays of {what}; it was {shown(given)}.") from None


@torch.no_grad()
def _per_voxel(
    network: nn.Module,
    voxelizer: Voxelizer,
    precision: Precision,
    device: torch.device,
    scans: Sequence[Scan],
    *,
    every_point: bool,
) -> tuple[Tensor, Tensor]:
    """Return the network's row of every voxel, and the voxel of every point; both on the CPU."""
    xyz_m, intensity = [scan.xyz_m for scan in scans], [scan.intensity for scan in scans]
    voxels = voxelize(voxelizer, xyz_m, intensity, every_point=every_point)
    with autocast(device, precision):
        rows = network(voxels.to(device))
    return rows.cpu(), voxels.voxel_of_point


def _on(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on a device: itself, or a copy if it is on another device."""
    here = next(network.parameters()).device
    return network if here.type == device.type == "cpu" else copy.deepcopy(network).to(device)
