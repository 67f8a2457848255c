"""The protocols by which a stage records its runs: settings, metrics, files and their end.

Stages use only these protocols. `MlflowTracker` records runs in MLflow; `NullTracker` records
nothing, and all workers of a run but the first use it.
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

# Tags by which a run is found again, and the tag with the reason why it did not finish.
STAGE, FINGERPRINT, FAILURE = "olivine.stage", "olivine.fingerprint", "olivine.failure"
CONFIG = "olivine.config"  # tag: fingerprint of the settings alone
# Tag: what fingerprints cover. Runs before 0.3 have none: theirs cover a data set's tables, and not
# its files, so they are shown and never reused.
IDENTITY, IDENTITY_VERSION = "olivine.identity", "2"
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"  # MLflow shows the nesting and the note


class StoppedError(BaseException):
    """Ends a run that has to stop before its end; its record keeps the reason.

    It is no error of the program: code that catches `Exception` lets it pass, and the run is
    KILLED.
    """


@dataclass(frozen=True)
class RunKey:
    """The identity of a run: two runs with equal keys give equal results."""

    stage: str  # label, pretrain, evaluate, trial or sweep
    fingerprint: str  # of the configuration, the data and the labels it reads


@dataclass(frozen=True)
class LoggedWeights:
    """The location of a logged model's weights, and their hash when it was logged."""

    place: str  # a path or a bucket's URI
    sha256: str  # of the file


@dataclass(frozen=True)
class RunRecord:
    """A run in the store."""

    run_id: str
    key: RunKey
    name: str
    status: str  # RUNNING, FINISHED, FAILED or KILLED
    settings: Mapping[str, str]  # dotted name -> text
    metrics: Mapping[str, float]  # last value of each
    tags: Mapping[str, str] = field(default_factory=dict)
    experiment: str = ""  # name of MLflow's experiment
    start_s: float = 0.0  # since 1970
    end_s: float | None = None  # None: it has not ended


def best_status_run(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Return, by fingerprint, the newest finished run, or the newest run if none has finished.

    `records` are newest first, as a store returns them.
    """
    best: dict[str, RunRecord] = {}
    for record in records:
        known = best.setdefault(record.key.fingerprint, record)
        if known.status != "FINISHED" and record.status == "FINISHED":
            best[record.key.fingerprint] = record
    return best


@dataclass(frozen=True)
class Columns:
    """The names of the values to read of runs; None reads all, which is slower."""

    settings: Collection[str] | None = None
    metrics: Collection[str] | None = None
    tags: Collection[str] | None = None


ALL_COLUMNS = Columns()


@runtime_checkable
class Run(Protocol):
    """A run that has not ended."""

    run_id: str

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at a step; logging a step again adds rows and replaces nothing."""
        ...

    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of a small file (a figure, a table) with the run."""
        ...

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Record a data set that the run reads.

        `digest` is the data's fingerprint (at most 36 characters), `source` the folder or URI
        of the data, `context` their use: train or val.
        """
        ...

    def log_model(self, name: str, weights: str, recipe: str, num_channels: int) -> None:
        """Record a pretrained backbone.

        `weights` is the path or URI of a finished file of weights, `recipe` the YAML of the
        `PretrainConfig` that made them, `num_channels` the length of a row of features.
        """
        ...

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add or change tags."""
        ...

    def flush(self) -> None:
        """Return when everything logged so far is on disk and survives a loss of power.

        Call it before a checkpoint is written, so that no metric of a step in it is lost.
        """
        ...


@runtime_checkable
class Tracker(Protocol):
    """A store of runs."""

    def within(self, parent: str, tags: Mapping[str, Any], experiment: str = "") -> "Tracker":
        """Return a tracker of the same store whose new runs are children of the run `parent`.

        The runs carry `tags` and belong to `experiment`; an empty name keeps the experiment.
        """
        ...

    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Run]:
        """Open the run of a key, the unfinished one if there is one, and end it with its block.

        A block that ends normally makes it FINISHED, an error FAILED, an interrupt KILLED.
        """
        ...

    def finished(self, key: RunKey) -> RunRecord | None:
        """Return the newest finished run of a key, or None."""
        ...

    def records(
        self,
        stage: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        fingerprints: Collection[str] | None = None,
        columns: Columns = ALL_COLUMNS,
    ) -> list[RunRecord]:
        """Return runs, newest first: those of a stage, with all these tags, of these fingerprints.

        None leaves a condition out. `columns` names the values that are read.
        """
        ...

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return a metric's values by step; of a step that was logged twice, the later value."""
        ...

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return the metric's history by run id, of the runs that have it, in one query."""
        ...

    def log_files(self, run_id: str, paths: Sequence[Path], folder: str = "") -> None:
        """Store copies of small files with a run, which may have ended."""
        ...

    def read_text(self, run_id: str, name: str) -> str | None:
        """Return a small text file that is stored with a run, or None if it has no such file."""
        ...

    def logged_weights(self, run_id: str) -> LoggedWeights | None:
        """Return the weights of the newest model that a run logged, or None without one."""
        ...

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """End every RUNNING run with these tags, whose process is gone; return the runs' names."""
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
    """Records nothing."""

    def within(self, parent: str, tags: Mapping[str, Any], experiment: str = "") -> "NullTracker":
        """Return self; the null tracker records nothing."""
        return self

    @contextmanager
    def run(
        self, key: RunKey, name: str, config: Spec, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        """Open a run that records nothing."""
        yield _NullRun()

    def finished(self, key: RunKey) -> RunRecord | None:
        """Return None; there are no records."""
        return None

    def records(
        self,
        stage: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        fingerprints: Collection[str] | None = None,
        columns: Columns = ALL_COLUMNS,
    ) -> list[RunRecord]:
        """Return no records."""
        return []

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return an empty history."""
        return {}

    def histories(self, run_ids: Collection[str], metric: str) -> dict[str, dict[int, float]]:
        """Return no histories."""
        return {}

    def log_files(self, run_id: str, paths: Sequence[Path], folder: str = "") -> None:
        """Do nothing."""

    def read_text(self, run_id: str, name: str) -> str | None:
        """Return None; the null tracker keeps no files."""
        return None

    def logged_weights(self, run_id: str) -> LoggedWeights | None:
        """Return None; the null tracker keeps no models."""
        return None

    def end_stale(self, tags: Mapping[str, str], status: str, reason: str) -> list[str]:
        """Return no names; there are no runs to end."""
        return []


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that a run that is terminated is not left RUNNING.

    Only the main thread may set a handler. In another thread nothing changes, and the next start
    ends the stale run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    # `signal` returns None for a handler that was not set from Python.
    before = signal.signal(signal.SIGTERM, leave) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
