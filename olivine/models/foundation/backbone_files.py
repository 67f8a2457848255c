"""Finds an image backbone's tensors in the files that self-supervised methods publish.

A file may hold the backbone alone or a whole checkpoint: several copies of the network, heads,
prototypes, queues, an optimiser. A backbone is recognised by its first tensor.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from olivine.core.errors import UserError

# Of several backbones in one file, the one that its method evaluates: MoCo's query encoder,
# MoCo-v3's base encoder, DINO's teacher, PixPro's encoder; otherwise that of the shortest prefix.
PREFERRED = ("encoder_q", "base_encoder", "teacher", "encoder")
NESTED = (
    "state_dict",
    "network",
    "teacher",
    "student",
    "model",
)  # keys of files


def find_backbone(
    state: Mapping[str, Any],
    path: Path,
    *,
    architecture: str,
    first: str,
    keeps: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return the tensors beside the first one whose names begin with one of `keeps`.

    Names are those below the backbone's own prefix. Raises UserError if there is no first tensor.
    """
    tensors = dict(_tensors(state, ""))
    firsts = [name for name in tensors if name == first or name.endswith(f".{first}")]
    if not firsts:
        some = f" (such as {next(iter(tensors))})" if tensors else ""
        raise UserError(
            f"{path} does not hold weights of {architecture}: none of its {len(tensors)} tensors"
            f"{some} is called {first}."
        )
    prefix = min(firsts, key=_rank)[: -len(first)]
    below = {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
    return {name: tensor for name, tensor in below.items() if name.startswith(keeps)}


def _tensors(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping) and key in NESTED:
            yield from _tensors(value, f"{name}.")


def _rank(name: str) -> tuple[int, int]:
    parts = name.split(".")
    found = [position for position, wanted in enumerate(PREFERRED) if wanted in parts]
    return (found[0] if found else len(PREFERRED)), len(parts)
