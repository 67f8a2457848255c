"""What a stage says of itself: settings, metrics, files, and how it ended.

Stages know only these protocols. `olivine.mlflow_tracker` keeps runs in MLflow; `NullTracker`
forgets them, which is what the workers of a run other than the first need.
"""

import signal
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from olivine.core.spec import Spec

# Tags by which a run is found again, and the one that says why it did not finish.
STAGE, FINGERPRINT, FAILURE = "olivine.stage", "olivine.fingerprint", "olivine.failure"
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"  # MLflow's pages nest and tell by them


class StoppedError(BaseException):
    """Ends a run that is told to stop before its end, for a reason that its record keeps.

    No error of the program: what catches `Exception` lets it pass, and the run is KILLED.
    """


@dataclass(frozen=True)
class RunKey:
    """What makes a run the same run: two runs with equal keys would give equal results."""

    stage: str  # label, pretrain, evaluate, trial or sweep
    fingerprint: str  # of the configuration, the data and the labels it reads


@dataclass(frozen=True)
class LoggedWeights:
    """Where the weights of a logged model lie, and what they were when it was logged."""

    place: str  # a path or a bucket's URI
    sha256: str  # of the file


@dataclass(frozen=True)
class RunRecord:
    """A run as the store remembers it."""

    run_id: str
    key: RunKey
    name: str
    status: str  # RUNNING, FINISHED, FAILED or KILLED
    settings: Mapping[str, str]  # dotted name -> text
    metrics: Mapping[str, float]  # last value of each
    tags: Mapping[str, str] = field(default_factory=dict)
    experiment: str = ""  # MLflow's: the question that was asked
    start_s: float = 0.0  # since 1970
    end_s: float | None = None  # None: it goes on


def most_telling(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Return the newest finished run of each fingerprint, else its newest.

    Records are newest first, as a store gives them.
    """
    best: dict[str, RunRecord] = {}
    for record in records:
        known = best.setdefault(record.key.fingerprint, record)
        if known.status != "FINISHED" and record.status == "FINISHED":
            best[record.key.fingerprint] = record
    return best


@dataclass(frozen=True)
class Columns:
    """Which values of runs are read: their names, or None for all. Fewer are read faster."""

    settings: Collection[str] | None = None
    metrics: Collection[str] | None = None
    tags: Collection[str] | None = None


ALL_COLUMNS = Columns()


@runtime_checkable
class Run(Protocol):
    """A run that is going on."""

    run_id: str

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at a step; the same step again replaces nothing and costs a row."""
        ...

    def log_file(self, path: Path, folder: str = "") -> None:
        """Keep a copy of a small file (a figure, a table) with the run."""
        ...

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Record a data set that the run reads.

        `digest` is the data's fingerprint (at most 36 characters), `source` the folder or URI
        where it lies, `context` what it is for: train or val.
        """
        ...

    def log_model(self, name: str, weights: str, recipe: str, num_channels: int) -> None:
        """Record a pretrained backbone: where its weights lie, and the settings that made it.

        `weights` is the path or URI of a file that is whole already, `recipe` the YAML of its
        `PretrainConfig`, `num_channels` the length of a feature row.
        """
        ...

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add or change tags."""
        ...

    def flush(self) -> None:
        """Return once what was logged so far is on disk, safe from a loss of power.

        Call it before a checkpoint is written: then no step that a checkpoint has seen is lost.
        """
        ...


@runtime_checkable
class Tracker(Protocol):
    """A store of runs."""

    def within(self, parent: str, tags: Mapping[str, Any], experiment: str = "") -> "Tracker":
        """Return the same store, whose new runs are children of a run id and carry these tags.

        They belong to an experiment of that name; if it is empty, to the same as before.
        """
        ...

    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Run]:
        """Open the run of this key, the unfinished one if there is one, and end it truly.

        Leaving the block normally makes it FINISHED, an error FAILED, an interrupt KILLED.
        """
        ...

    def finished(self, key: RunKey) -> RunRecord | None:
        """Return the finished run of this key, if there is one."""
        ...

    def records(
        self,
        stage: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        fingerprints: Collection[str] | None = None,
        columns: Columns = ALL_COLUMNS,
    ) -> list[RunRecord]:
        """Return all runs, newest first, of a stage, with these tags and of these fingerprints."""
        ...

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return step -> value of one metric; a step logged again after a resume counts once."""
        ...

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return the history of every run that has one; quicker than one by one."""
        ...

    def log_files(self, run_id: str, paths: Sequence[Path], folder: str = "") -> None:
        """Keep copies of small files with a run, which may have ended."""
        ...

    def read_text(self, run_id: str, name: str) -> str | None:
        """Return a small text file that is kept with a run, or None if it has no such file."""
        ...

    def logged_weights(self, run_id: str) -> LoggedWeights | None:
        """Return the weights of the newest model that a run logged, or None without one."""
        ...

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """End every RUNNING run with these tags, whose process is gone; return their names."""
        ...


class _NullRun:
    run_id = ""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None: ...

    def log_file(self, path: Path, folder: str = "") -> None: ...

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None: ...

    def log_model(self, name: str, weights: str, recipe: str, num_channels: int) -> None: ...

    def set_tags(self, tags: Mapping[str, Any]) -> None: ...

    def flush(self) -> None: ...


class NullTracker:
    """Forgets everything."""

    def within(self, parent: str, tags: Mapping[str, Any], experiment: str = "") -> "NullTracker":
        """Itself: there is nobody to tell."""
        return self

    @contextmanager
    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        """Open a run that nobody sees."""
        yield _NullRun()

    def finished(self, key: RunKey) -> RunRecord | None:
        """Nothing is remembered."""
        return None

    def records(
        self,
        stage: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        fingerprints: Collection[str] | None = None,
        columns: Columns = ALL_COLUMNS,
    ) -> list[RunRecord]:
        """Nothing is remembered."""
        return []

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Nothing is remembered."""
        return {}

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Nothing is remembered."""
        return {}

    def log_files(self, run_id: str, paths: Sequence[Path], folder: str = "") -> None:
        """Nothing is remembered."""

    def read_text(self, run_id: str, name: str) -> str | None:
        """Return None; the null tracker keeps no files."""
        return None

    def logged_weights(self, run_id: str) -> LoggedWeights | None:
        """Return None; the null tracker keeps no models."""
        return None

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """Nothing is remembered."""
        return []


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that a run that is told to stop is not left RUNNING.

    Only the main thread may set a handler; elsewhere the next start ends the stale run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave) or signal.SIG_DFL  # None: not Python's own
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
