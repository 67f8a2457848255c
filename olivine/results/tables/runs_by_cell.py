"""Assigns runs to the cells of a table."""

import functools
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from olivine.core.errors import UserError, nearest
from olivine.results.tables.code_versions import Versions
from olivine.results.tables.published import protocol_called, protocol_of, share_of
from olivine.results.tables.runs import (
    TableRun,
    TableRuns,
    differing_settings,
    name_of,
    ordered_names,
    variants,
)
from olivine.results.tables.spec import EVALUATION, METHOD, ROW, TableSpec

NO_TRIAL, NEVER_STARTED, NO_METRIC = "no such trial", "never started", "no such metric"
CellKey = tuple[str | None, str | None]  # row and column; None: a setting not known yet


@dataclass(frozen=True)
class RunsByCell:
    """The runs of a table's rows, each with its row and column."""

    spec: TableSpec
    runs: tuple[TableRun, ...]
    keys: tuple[CellKey, ...]  # of each run
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def of(cls, table_runs: TableRuns, spec: TableSpec) -> "RunsByCell":
        """Find the cell of every run; raise UserError for an unknown setting or row."""
        table_runs.check_settings((*spec.by, *spec.columns))
        by, across = table_runs.groups(spec.by), table_runs.groups(spec.columns)
        keys = list(zip(map(name_of, by), map(name_of, across), strict=True))
        rows = ordered_names(by)
        for name in (*spec.rows, *([spec.baseline] if spec.baseline else [])):
            shown = spec.rows or rows if name == spec.baseline else rows
            if name not in shown:
                raise UserError(
                    f"No row {name!r} in this table.{nearest(name, shown)} "
                    f"It has: {'; '.join(shown)}."
                )
        rows = tuple(row for row in rows if row in spec.rows) if spec.rows else rows
        kept = [i for i, (row, _) in enumerate(keys) if row is None or row in set(rows)]
        columns = ordered_names(across[i] for i in kept)
        if spec.columns == (EVALUATION,):
            columns = tuple(sorted(columns, key=_evaluation_order))
        runs = tuple(table_runs.runs[i] for i in kept)
        found = cls(spec, runs, tuple(keys[i] for i in kept), rows, columns)
        found._check_protocols()
        return found

    def _check_protocols(self) -> None:
        """Raise UserError if a cell would average the scores of two evaluation protocols."""
        for (row, column), of_cell in self.by_key.items():
            found = {run.evaluation for run in of_cell if not run.why}
            if len(found) > 1:
                here = f"{row!r}{f', column {column!r}' if column else ''}"
                raise UserError(
                    f"Row {here} would average {len(found)} evaluations: "
                    f"{', '.join(sorted(found))}. Give --columns {EVALUATION} (or protocol) to "
                    "separate them, or --rows to choose some rows."
                )

    @functools.cached_property
    def by_key(self) -> dict[CellKey, list[TableRun]]:
        """The runs of every cell."""
        found: dict[CellKey, list[TableRun]] = defaultdict(list)
        for key, run in zip(self.keys, self.runs, strict=True):
            found[key].append(run)
        return dict(found)

    @functools.cached_property
    def mixed(self) -> dict[str, np.ndarray]:
        """The settings that differ between finished runs of one cell, with a code per run."""
        if self.spec.by == (ROW,) and not self.spec.columns and self._one_run_per_seed:
            return {}  # a sweep's row is one configuration
        done = self._done
        cells = [f"{self.keys[i]}" for i in done]
        return differing_settings([self.runs[i] for i in done], cells)

    @functools.cached_property
    def lines(self) -> pd.DataFrame:
        """A line per finished run: row, column, seed, variant, fingerprint and the metrics.

        Runs of one variant have equal settings but for the seed and what decides their cell.
        """
        done = [self.runs[i] for i in self._done]
        lines = {
            "row": [self.keys[i][0] for i in self._done],
            "column": [self.keys[i][1] for i in self._done],
            "seed": [run.seed for run in done],
            "variant": variants(self.mixed, len(done)),
            "fingerprint": [run.fingerprint for run in done],
        }
        scores = {name: [run.metrics.get(name) for run in done] for name in self.spec.metrics}
        return pd.DataFrame(lines).assign(
            **{name: pd.Series(values, dtype=float) for name, values in scores.items()}
        )

    @property
    def made_by(self) -> dict[str, list[tuple[int, Versions]]]:
        """The seed of every finished run and what made it, by the name of its cell."""
        found: dict[str, list[tuple[int, Versions]]] = defaultdict(list)
        for i in self._done:
            row, column = self.keys[i]
            name = f"`{row}`, {column}" if column else f"`{row}`"
            found[name].append((self.runs[i].seed, self.runs[i].made_by))
        return dict(found)

    @property
    def has_twins(self) -> bool:
        """Return whether runs of one cell and seed have equal settings, but other data."""
        return bool(self.lines.duplicated(["row", "column", "seed", "variant"]).any())

    def overlap(self, row: str, column: str) -> str:
        """Return what the networks of a cell learnt of the scenes that score them, or ""."""
        here = self.by_key.get((row, column), [])
        return "; ".join(dict.fromkeys(run.overlap for run in here if run.overlap and not run.why))

    def why_missing(self, row: str, column: str) -> str:
        """Return why a cell has no number; reasons that may still change come first."""
        here = self.by_key.get((row, column), [])
        if any(not run.why for run in here):
            return NO_METRIC
        if here:
            order = ("running", "failed", "killed")
            return min((run.why for run in here), key=lambda why: _position(order, why))
        unknown = ((row, None), (None, column), (None, None))
        return NEVER_STARTED if any(key in self.by_key for key in unknown) else NO_TRIAL

    def in_print_as(self, row: str, column: str) -> tuple[str, str] | None:
        """Return the method and the protocol of a cell's published number, or None.

        A row's label has the share of labels after its method ("PPKT, 10 %"), which is compared
        with the protocol of its runs.
        """
        here = [run for run in self.by_key.get((row, column), []) if run.has_started]
        found = {protocol_of(run.settings) for run in here if "protocol" in run.settings}
        if len(found) > 1 or self.spec.by not in ((ROW,), (METHOD,)):
            return None
        if self.spec.by == (METHOD,) and self.spec.columns == (EVALUATION,):
            return row, protocol_called(column)
        method, share = row, ""
        if self.spec.by == (ROW,):
            method, _, share = row.partition(", ")
        if share and not share.endswith(" %"):
            return None
        label_share = share.removesuffix(" %")
        protocol = (
            found.pop() if found else f"finetune_{label_share}" if label_share else "linear_probe"
        )
        return (
            None
            if label_share and label_share != protocol.rpartition("_")[2]
            else (method, protocol)
        )

    @property
    def _done(self) -> list[int]:
        known = ((i, run) for i, run in enumerate(self.runs) if None not in self.keys[i])
        return [i for i, run in known if not run.why]

    @property
    def _one_run_per_seed(self) -> bool:
        of_runs = [(self.keys[i], self.runs[i].seed) for i in self._done]
        return len(set(of_runs)) == len(of_runs)


def _evaluation_order(name: str) -> tuple[str, float]:
    data, share = share_of(name)
    return data, share or 0.0


def _position(order: tuple[str, ...], why: str) -> int:
    status = why.partition(":")[0]
    return order.index(status) if status in order else len(order)
