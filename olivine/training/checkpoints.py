"""Checkpoints that are written atomically and read without running code in them."""

import io
import json
import re
import warnings
from typing import Any

import torch

from olivine.core.checksums import (
    DamagedError,
    checked,
    has_checksum,
    note_missing,
    read_cached,
    set_aside,
    with_checksum,
    write_checked,
)
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
        save_state(self._store, self._name(step), state, f"step {step}")
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
        write_checked(self._store, self._scores_name, json.dumps(scores, indent=1).encode())

    def scores(self) -> dict[int, float]:
        """Return the score of every step that has one, even if its state was deleted.

        A damaged file of scores is set aside with a warning; then only later steps have scores.
        """
        remedy = "The best of the other epochs counts as the best."
        return read_cached(self._store, self._scores_name, _parse_scores, remedy=remedy) or {}

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, ascending."""
        found = (re.search(r"step_(\d+)\.pt$", name) for name in self._store.names(self._folder))
        return sorted(int(match.group(1)) for match in found if match)

    def latest(self, device: torch.device | None = None) -> dict[str, Any] | None:
        """Return the newest state that can be read, with a warning of each that cannot, or None.

        A damaged one is renamed, so that all workers of a run go on from the same one.
        """
        steps = self.steps()
        for step in reversed(steps):
            is_last = step == steps[0]
            state = self._state(
                step,
                device,
                "There is none before it: a training begins from its start."
                if is_last
                else "The checkpoint before it is used.",
            )
            if state is not None:
                return state
        return None

    def best(self, device: torch.device | None = None) -> dict[str, Any] | None:
        """Return the state with the highest score, the earliest of equal ones, or None.

        A state that cannot be read is skipped with a warning.
        """
        for step in self._ranked():
            state = self._state(step, device, "The next best checkpoint is used.")
            if state is not None:
                return state
        return None

    def _state(self, step: int, device: torch.device | None, remedy: str) -> dict[str, Any] | None:
        """Return a state, or None after a warning that ends with the remedy."""
        name = self._name(step)
        try:
            return load_state(self._store, name, device, f"step {step}")
        except DamagedError as error:
            problem = f"{error} {set_aside(self._store, name)}"
        except UserError as error:
            problem = str(error)
        warnings.warn(f"{problem} {remedy}", stacklevel=3)
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


def save_state(store: Store, name: str, state: dict[str, Any], subject: str = "") -> None:
    """Write tensors and plain values to one file, with a checksum that `subject` takes part in."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write(name, *with_checksum(buffer.getbuffer(), subject))


def load_state(
    store: Store, name: str, device: torch.device | None = None, subject: str = ""
) -> dict[str, Any]:
    """Return tensors and plain values from a file of `save_state`; no code in it is run.

    Raises DamagedError that names the file if its content is another.
    """
    return parse_state(store.read(name), store.path(name), device, subject=subject)


def parse_state(
    data: bytes, source: str, device: torch.device | None = None, *, subject: str = ""
) -> dict[str, Any]:
    """Return tensors and plain values from a file's content; no code in it is run.

    Raises DamagedError that names the file if its content is damaged or cannot be read.
    """
    is_known = has_checksum(data)
    if is_known:
        checked(data, source, subject)
    try:
        state = torch.load(io.BytesIO(data), map_location=device or "cpu", weights_only=True)
    except Exception:  # a broken archive raises any of several types, some with unsafe advice
        raise DamagedError(
            f"{source} cannot be read: it is no file of weights, or it is damaged. A file of "
            "weights is one that torch.save wrote with tensors and plain values alone; code in a "
            "file is never run."
        ) from None
    if not is_known:
        note_missing(source, source)
    return state


def _parse_scores(data: bytes) -> dict[int, float]:
    return {int(step): float(score) for step, score in json.loads(data).items()}
