"""Names, writing and reading of the files of a pretraining's weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from olivine.core.checksums import DamagedError
from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.data.dataset import Frames
from olivine.tracking.tracker import RunKey
from olivine.training.checkpoints import load_state, save_state
from olivine.training.config import PretrainConfig
from olivine.training.experiment_data import SCENES, learnt_scenes


def weights_name(key: RunKey) -> str:
    """Return the name of a pretraining's weights below `runtime.out`."""
    return f"pretrained/{key.fingerprint}/backbone.pt"


def best_weights_name(key: RunKey) -> str:
    """Return the name of the weights of the epoch with the best probe score."""
    return f"pretrained/{key.fingerprint}/backbone_best.pt"


def save_weights(
    store: Store,
    name: str,
    backbone: Mapping[str, Tensor],
    config: PretrainConfig,
    frames: Frames | None = None,
) -> None:
    """Write a backbone's weights with the settings that made them, and the scenes of `frames`.

    The scenes, and those behind the weights that it started from, let the guard against leaks know
    the file wherever it is the start of a network.
    """
    state = {"backbone": backbone, "config": config.to_yaml()}
    scenes = {SCENES: learnt_scenes(config, frames)} if frames is not None else {}
    save_state(store, name, {**state, **scenes})


def load_weights(store: Store, name: str, backbone: nn.Module, device: torch.device) -> None:
    """Read a backbone's weights; raise UserError if they are damaged or of another architecture."""
    try:
        state = load_state(store, name, device)
    except DamagedError as error:
        raise DamagedError(
            f"{error} Remove it and run `olivine pretrain` with the same settings, which makes it "
            "again from the run's last checkpoint."
        ) from None
    fit_weights(backbone, state["backbone"], store.path(name))


def fit_weights(backbone: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Set a backbone's weights; raise UserError that names `source` if they do not fit."""
    try:
        backbone.load_state_dict(weights)
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[1].strip()
        raise UserError(f"The weights {source} do not fit this backbone: {problem}") from None
