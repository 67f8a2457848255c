"""Published checkpoints of 3D networks, and checkpoints of an earlier run.

The codes of SLidR, ST-SLidR and OLIVINE write {"model_points", "model_images", "epoch", "config"};
their trainers' own checkpoints hold "state_dict" with the same names below "model_points.".
OpenPCDet's detectors have "model_state", with the encoder below "backbone_3d." beside other parts.
WaffleIron's checkpoints hold "net", ScaLR's "model_point", with a last layer "classif.".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.weights import load_into, read_state

STATE_KEYS = (
    "model_points",
    "model_point",
    "backbone",
    "state_dict",
    "model_state",
    "net",
)  # keys under which files hold the network
PREFIXES = (
    "model.",
    "model_points.",
    "module.",
    "encoder.",
)  # of the tensors' names, in this order
OTHERS = ("model_images.", "criterion.")  # of other networks in a trainer's checkpoint
ENCODER = "backbone_3d."  # prefix in a whole detector, whose other parts are left out
HEADS = (
    "final.",
    "final_class_level.",
    "classif.",
)  # projections, which a training starts at random


def load_checkpoint(backbone: nn.Module, path: Path, voxels: Voxelizer, architecture: str) -> None:
    """Load a file's weights into a network, which must get every one of its weights.

    Raises UserError for weights that are missing, unknown or of another shape, and if the file's
    config has other voxels.
    """
    state = read_state(path)
    if architecture != "voxelnet":  # its voxels are fixed in the code; the config has others
        _check_voxels(state.get("config"), path, voxels)
    load_into(backbone, backbone_tensors(state), path, architecture)


def backbone_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the network's tensors by its own names, without projection heads."""
    found: Mapping[str, Any] = state
    for key in STATE_KEYS:
        if isinstance(state.get(key), Mapping):
            found = state[key]
            break
    tensors = {
        name: tensor
        for name, tensor in found.items()
        if isinstance(tensor, Tensor) and not name.startswith(OTHERS)
    }
    if any(name.startswith(ENCODER) for name in tensors):
        tensors = {
            name.removeprefix(ENCODER): tensor
            for name, tensor in tensors.items()
            if name.startswith(ENCODER)
        }
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)}


def _check_voxels(config: Any, path: Path, voxels: Voxelizer) -> None:
    if not isinstance(config, Mapping) or "cylindrical_coordinates" not in config:
        return
    theirs = "cylindrical" if config["cylindrical_coordinates"] else "cartesian"
    size = _sizes(config.get("voxel_size", voxels.cell_size), theirs)
    if (theirs, size) != (voxels.coordinates, tuple(voxels.cell_size)):
        raise UserError(
            f"{path} was trained on {theirs} voxels of {size}, and pretrained.voxels has "
            f"{voxels.coordinates} ones of {tuple(voxels.cell_size)}: --set "
            f"pretrained.voxels.coordinates={theirs} --set pretrained.voxels.size={list(size)}."
        )


def _sizes(given: Any, coordinates: str) -> tuple[float, ...]:
    """Return the three sizes of a config, where one number is in metres; azimuth is in degrees."""
    if isinstance(given, int | float):
        return (given, 1.0 if coordinates == "cylindrical" else given, given)
    return tuple(float(side) for side in given)
