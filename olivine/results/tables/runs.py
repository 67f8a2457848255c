"""The runs of a table: their planned trials, their results and their differences."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from olivine.core.errors import UserError, nearest
from olivine.data.scenes import overlap_mark
from olivine.experiments import sweep_plan as sweep_tags
from olivine.experiments.sweep_plan import SweepPlan
from olivine.results.tables.code_versions import TRIAL, Versions, versions
from olivine.results.tables.published import evaluation_called, protocol_of
from olivine.results.tables.spec import EVALUATION, LABELS, METHOD, ROW, SEED, SWEEP, UNKNOWN
from olivine.tracking.tracker import FAILURE, IDENTITY, RunRecord, best_status_run

FINISHED = "FINISHED"
NOTHING_FINISHED = "No trial of this table has finished; run its sweep first."
Group = tuple[str, ...]  # values of the settings or labels that a row or column stands for


@dataclass(frozen=True)
class TableRun:
    """One configuration with one seed, and its newest finished run, else its newest run."""

    fingerprint: str
    row: str  # its label in its sweep
    sweep: str
    seed: int
    why: str  # why it has no result; empty: it is finished
    settings: Mapping[str, str]
    metrics: Mapping[str, float]
    has_started: bool = True  # if not, its settings are not known
    is_reusable: bool = True  # not a run before 0.3, whose identity leaves out its data's files
    made_by: Versions = field(default_factory=dict)  # code, packages and devices of its stages
    overlap: str = ""  # what the network learnt of the scored scenes; empty: nothing known

    def label(self, name: str) -> str | None:
        """Return the text of a setting or label; None for a setting of a run that never started."""
        labels = {ROW: self.row, SWEEP: self.sweep, SEED: str(self.seed)}
        if name == METHOD:
            return self.row.partition(", ")[0]
        if name in labels:
            return labels[name]
        if name == EVALUATION and self.has_started:
            return evaluation_called(protocol_of(self.settings)) or UNKNOWN
        return self.settings.get(name, UNKNOWN) if self.has_started else None

    @property
    def evaluation(self) -> str:
        """The evaluation's name or, where it has none, the protocol and the data."""
        if named := evaluation_called(protocol_of(self.settings)):
            return named
        found = (self.settings.get(name) for name in ("protocol", "train.kind"))
        return " on ".join(filter(None, found)) or UNKNOWN


@dataclass(frozen=True)
class TableRuns:
    """All runs of a table."""

    runs: tuple[TableRun, ...]

    @classmethod
    def of_sweep(cls, records: Sequence[RunRecord], plan: SweepPlan) -> "TableRuns":
        """Return every trial of a plan in its order, whichever sweep ran it."""
        best = best_status_run(records)
        return cls(
            tuple(
                _table_run(best.get(fingerprint), fingerprint, trial.row, plan.name, trial.seed)
                for fingerprint, trial in plan.trials.items()
            )
        )

    @classmethod
    def of_store(cls, records: Sequence[RunRecord]) -> "TableRuns":
        """Return every trial of a store, the oldest first, by the tags of its first sweep."""
        best = best_status_run(records)
        runs = []
        for fingerprint, record in reversed(best.items()):
            row = record.tags.get(sweep_tags.ROW, record.name)
            seed = int(record.tags.get(sweep_tags.SEED, record.settings.get("seed", 0)))
            sweep = record.tags.get(sweep_tags.SWEEP, UNKNOWN)
            runs.append(_table_run(record, fingerprint, row, sweep, seed))
        return cls(tuple(runs))

    def with_metrics(self, more: Mapping[str, Mapping[str, float]]) -> "TableRuns":
        """Add metrics of other runs by fingerprint; a run's own metrics have priority."""
        return TableRuns(
            tuple(
                replace(run, metrics={**more[run.fingerprint], **run.metrics})
                if run.fingerprint in more
                else run
                for run in self.runs
            )
        )

    def with_versions(self, known: Mapping[str, Versions]) -> "TableRuns":
        """Take what made the runs, by fingerprint, in place of what their trials tell."""
        return TableRuns(
            tuple(
                replace(run, made_by=known[run.fingerprint]) if run.fingerprint in known else run
                for run in self.runs
            )
        )

    @functools.cached_property
    def finished(self) -> tuple[TableRun, ...]:
        """The runs with a result."""
        return tuple(run for run in self.runs if not run.why)

    def metric_names(self) -> set[str]:
        """Return every metric that a finished run has."""
        return {name for run in self.finished for name in run.metrics}

    def check_settings(self, names: Iterable[str]) -> None:
        """Raise UserError for a name that is neither a setting of a run nor a label."""
        if not self.runs:
            raise UserError(NOTHING_FINISHED)
        known = set(LABELS).union(*(run.settings for run in self.runs))
        for name in names:
            if name not in known:
                raise UserError(
                    f"No run has a setting {name!r}.{nearest(name, known)} `olivine show` prints "
                    f"all settings; besides them there are {', '.join(LABELS)}."
                )

    def check_metrics(self, metrics: Iterable[str]) -> None:
        """Raise UserError for a metric that no finished run has, or if none has finished."""
        if not self.finished:
            raise UserError(NOTHING_FINISHED)
        known = self.metric_names()
        for metric in metrics:
            if metric not in known:
                raise UserError(
                    f"No run has a metric {metric!r}.{nearest(metric, known)} "
                    f"They have: {', '.join(sorted(known))}."
                )

    def groups(self, names: Sequence[str]) -> list[Group | None]:
        """Return the values of every run's settings or labels; None where one is not known yet."""
        groups = [tuple(run.label(name) for name in names) for run in self.runs]
        return [None if None in group else tuple(map(str, group)) for group in groups]


def name_of(group: Group | None) -> str | None:
    """Return the name of a row or column of these values."""
    return None if group is None else ", ".join(group)


def ordered_names(groups: Iterable[Group | None]) -> tuple[str, ...]:
    """Return the names of known groups, each once: numbers by size, then texts in their order."""
    found = list(dict.fromkeys(group for group in groups if group is not None))
    came: dict[tuple[int, str], int] = {}
    for value in itertools.chain.from_iterable(map(enumerate, found)):
        came.setdefault(value, len(came))

    def size(group: Group) -> list[tuple[int, float | int]]:
        return [
            (0, float(value)) if _is_number(value) else (1, came[index, value])
            for index, value in enumerate(group)
        ]

    return tuple(", ".join(group) for group in sorted(found, key=size))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def differing_settings(runs: Sequence[TableRun], cells: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the settings, but for seeds, that differ between runs of one cell, with their codes.

    Settings that decide a cell do not differ within it; the returned ones are mixed in its mean.
    """
    of_cell = pd.factorize(np.array(cells, dtype=object))[0]
    num_cells = of_cell.max(initial=-1) + 1
    found = {}
    for name in _not_constant([run.settings for run in runs]):
        values = np.array([run.settings.get(name, "") for run in runs], dtype=object)
        codes, known = pd.factorize(values)
        if len(np.unique(of_cell * len(known) + codes)) > num_cells:
            found[name] = codes
    return found


def _not_constant(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the settings, but for seeds, that not all runs have with one value.

    Ten thousand runs have millions of settings, most of them equal, which sets find quickly.
    """
    num_values = Counter(name for name, _ in set().union(*(one.items() for one in settings)))
    num_runs = Counter(itertools.chain.from_iterable(settings))
    differing = {name for name, count in num_values.items() if count > 1}
    lacking = {name for name, count in num_runs.items() if count < len(settings)}
    return sorted(name for name in differing | lacking if name.rpartition(".")[2] != SEED)


def variants(differing: Mapping[str, np.ndarray], num_runs: int) -> np.ndarray:
    """Return a number per run, equal where all these settings are."""
    if not differing:
        return np.zeros(num_runs, dtype=int)
    codes = np.stack(list(differing.values()), axis=1)
    return np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)


def _table_run(
    record: RunRecord | None, fingerprint: str, row: str, sweep: str, seed: int
) -> TableRun:
    if record is None:
        return TableRun(fingerprint, row, sweep, seed, "never started", {}, {}, has_started=False)
    why = ""
    if record.status != FINISHED:
        reason = record.tags.get(FAILURE, "")
        why = f"{record.status.lower()}{f': {reason}' if reason else ''}"
    return TableRun(
        fingerprint,
        row,
        sweep,
        seed,
        why,
        record.settings,
        record.metrics,
        is_reusable=IDENTITY in record.tags,
        made_by=versions(TRIAL, record.tags),
        overlap=overlap_mark(record.tags, record.settings),
    )
