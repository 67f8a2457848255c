"""The description of an evaluation's network, so that it can be loaded without the run store.

The weights are in the evaluation's last checkpoint. This file, beside it, holds the settings, the
names of the classes and a hash of the weights.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from olivine.core.checksums import DamagedError, read_checked
from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.training.config import EvaluateConfig

_KEYS = {"config", "class_names", "weights_sha256"}


@dataclass(frozen=True)
class NetworkDescription:
    """The settings of an evaluation, the classes of its head and the hash of its weights."""

    config: EvaluateConfig
    class_names: tuple[str, ...]  # a predicted id is a position here
    weights_sha256: str  # `tensors_hash` of the network; empty: not known

    def to_bytes(self) -> bytes:
        """Return the description as JSON."""
        tree = {**asdict(self), "config": self.config.to_dict()}
        return json.dumps(tree, indent=1).encode()

    @classmethod
    def read(cls, store: Store, name: str) -> "NetworkDescription":
        """Read a file that holds the bytes of `to_bytes`; raise UserError for any other."""
        again = (
            "Remove that folder's first_frame.npz and run `olivine evaluate` with the same "
            "settings, which makes both again from the last checkpoint."
        )
        try:
            tree = json.loads(read_checked(store, name))
        except DamagedError as error:
            raise DamagedError(f"{error} {again}") from None
        except ValueError:
            tree = None
        if not (isinstance(tree, dict) and tree.keys() == _KEYS):
            raise UserError(f"{store.path(name)} does not describe a network. {again}")
        config = EvaluateConfig.from_dict(tree["config"])
        return cls(config, tuple(tree["class_names"]), str(tree["weights_sha256"]))


def description_name(fingerprint: str) -> str:
    """Return the name of an experiment's `NetworkDescription` below `runtime.out`."""
    return f"evaluated/{fingerprint}/network.json"


def checkpoints_folder(fingerprint: str) -> str:
    """Return the folder of an experiment's checkpoints below `runtime.out`."""
    return f"evaluated/{fingerprint}/checkpoints"


def tensors_hash(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors: their names, types, shapes and bytes.

    It does not depend on the device, nor on the file that holds them.
    """
    hashed = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        here = tensor.detach().cpu().contiguous()
        hashed.update(f"{name} {here.dtype} {tuple(here.shape)}\n".encode())
        hashed.update(here.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()
