"""Checkpoints that are there whole or not at all, read without running their code."""

import io
import re
import warnings
from typing import Any

import torch

from olivine.errors import UserError
from olivine.storage import Store


class Checkpoints:
    """The checkpoints of one run, newest last, named by the steps they have seen."""

    def __init__(self, store: Store, folder: str, num_kept: int = 2):
        self._store, self._folder, self._num_kept = store, folder, num_kept

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint and drop the oldest beyond `num_kept`."""
        save_state(self._store, self._name(step), state)
        for old in self.steps()[: -self._num_kept]:
            self._store.delete(self._name(old))

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, rising."""
        found = (re.search(r"step_(\d+)\.pt$", name) for name in self._store.names(self._folder))
        return sorted(int(match.group(1)) for match in found if match)

    def latest(self, device: torch.device | None = None) -> dict[str, Any] | None:
        """Return the newest state that can be read; warn of one that cannot."""
        for step in reversed(self.steps()):
            try:
                return load_state(self._store, self._name(step), device)
            except UserError as error:
                warnings.warn(f"{error} The checkpoint before it is used.", stacklevel=2)
        return None

    def _name(self, step: int) -> str:
        return f"{self._folder}/step_{step:08d}.pt"


def save_state(store: Store, name: str, state: dict[str, Any]) -> None:
    """Write tensors and plain values to one file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write(name, buffer.getvalue())


def load_state(store: Store, name: str, device: torch.device | None = None) -> dict[str, Any]:
    """Return tensors and plain values from a file; nothing in it is executed."""
    data = store.read(name)
    try:
        return torch.load(io.BytesIO(data), map_location=device or "cpu", weights_only=True)
    except Exception as error:  # a broken archive raises half a dozen types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"The checkpoint {store.path(name)} cannot be read: {reason}") from None
