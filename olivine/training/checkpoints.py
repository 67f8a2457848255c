"""Checkpoints that are written atomically and read without running code in them."""

import io
import json
import re
import warnings
from typing import Any

import torch

from olivine.core.errors import UserError
from olivine.core.storage import Store


class Checkpoints:
    """The checkpoints of one run, newest last, named by their number of steps."""

    def __init__(self, store: Store, folder: str, num_kept: int = 2):
        self._store, self._folder, self._num_kept = store, folder, num_kept

    def save(self, step: int, state: dict[str, Any], score: float | None = None) -> None:
        """Write a checkpoint; delete the oldest beyond `num_kept`, but not the best by score."""
        if score is not None:  # before the state, so that no state is without its score
            self.record_score(step, score)
        save_state(self._store, self._name(step), state)
        best = self._ranked()[:1]
        for old in self.steps()[: -self._num_kept]:
            if old not in best:
                self._store.delete(self._name(old))

    def clear(self) -> None:
        """Delete all, so that a run starts from its beginning."""
        for step in self.steps():
            self._store.delete(self._name(step))
        if self._store.exists(self._scores_name):
            self._store.delete(self._scores_name)

    def record_score(self, step: int, score: float) -> None:
        """Record the score of the state at a step; higher is better."""
        scores = {**self.scores(), step: score}
        self._store.write(self._scores_name, json.dumps(scores, indent=1).encode())

    def scores(self) -> dict[int, float]:
        """Return the score of every step that has one, even if its state was deleted."""
        if not self._store.exists(self._scores_name):
            return {}
        scores = json.loads(self._store.read(self._scores_name))
        return {int(step): float(score) for step, score in scores.items()}

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, ascending."""
        found = (re.search(r"step_(\d+)\.pt$", name) for name in self._store.names(self._folder))
        return sorted(int(match.group(1)) for match in found if match)

    def latest(self, device: torch.device | None = None) -> dict[str, Any] | None:
        """Return the newest state that can be read, with a warning of each that cannot, or None."""
        for step in reversed(self.steps()):
            try:
                return load_state(self._store, self._name(step), device)
            except UserError as error:
                warnings.warn(f"{error} The checkpoint before it is used.", stacklevel=2)
        return None

    def best(self, device: torch.device | None = None) -> dict[str, Any] | None:
        """Return the state with the highest score, the earliest of equal ones, or None.

        A state that cannot be read is skipped with a warning.
        """
        for step in self._ranked():
            try:
                return load_state(self._store, self._name(step), device)
            except UserError as error:
                warnings.warn(f"{error} The next best checkpoint is used.", stacklevel=2)
        return None

    def _ranked(self) -> list[int]:
        """Return the steps of the checkpoints that have a score, best first."""
        scores = self.scores()
        return sorted(scores.keys() & set(self.steps()), key=lambda step: (-scores[step], step))

    @property
    def _scores_name(self) -> str:
        return f"{self._folder}/scores.json"

    def _name(self, step: int) -> str:
        return f"{self._folder}/step_{step:08d}.pt"


def save_state(store: Store, name: str, state: dict[str, Any]) -> None:
    """Write tensors and plain values to one file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write(name, buffer.getvalue())


def load_state(store: Store, name: str, device: torch.device | None = None) -> dict[str, Any]:
    """Return tensors and plain values from a file; no code in it is run."""
    return parse_state(store.read(name), store.path(name), device)


def parse_state(data: bytes, source: str, device: torch.device | None = None) -> dict[str, Any]:
    """Return tensors and plain values from a file's content; no code in it is run.

    Raises UserError that names the file if its content cannot be read.
    """
    try:
        return torch.load(io.BytesIO(data), map_location=device or "cpu", weights_only=True)
    except Exception:  # a broken archive raises any of several types, some with unsafe advice
        raise UserError(
            f"{source} cannot be read: it is no file of weights, or it is damaged. A file of "
            "weights is one that torch.save wrote with tensors and plain values alone; code in a "
            "file is never run."
        ) from None
