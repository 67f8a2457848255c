"""Writes the results of a sweep: its table and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.experiments.sweep_plan import SweepPlan
from olivine.methods.objective import primary_term
from olivine.results import figures
from olivine.results.colours import line_styles
from olivine.results.metrics import metric_label
from olivine.results.tables.build import (
    FORMATS,
    scene_reader,
    sweeps_called,
    tabulate,
    write_table,
)
from olivine.results.tables.formats import long_format, markdown
from olivine.results.tables.spec import ROW, TableSpec
from olivine.results.tables.table import Table
from olivine.results.tables.text import Layout, lay_out
from olivine.results.words import marked
from olivine.tracking.tracker import Columns, RunRecord, Tracker
from olivine.training.evaluate import PRETRAINED
from olivine.training.validation import predictions_name, read_predictions

MAX_ROWS_DRAWN = 60  # largest number of rows in a figure
# Folders among the artifacts of a sweep's run: of its own table, and of one with other sweeps.
RUN_FOLDER, JOINT_FOLDER = "table", "joint_table"


@dataclass(frozen=True)
class Results:
    """The files of a sweep's results, or of several together, and the table as people read it."""

    layout: Layout
    files: tuple[Path, ...]
    sweep_runs: tuple[str, ...]  # ids of the sweeps' runs; empty for all trials

    @property
    def table(self) -> str:
        """The table as Markdown."""
        return markdown(self.layout)

    def log(self, tracker: Tracker) -> None:
        """Store copies with the sweeps' runs, where the run store's pages show them."""
        for run_id in self.sweep_runs:
            tracker.log_files(
                run_id, self.files, RUN_FOLDER if len(self.sweep_runs) == 1 else JOINT_FOLDER
            )


def write_results(
    name: str,
    runtime: Runtime,
    tracker: Tracker,
    folder: Path,
    *,
    spec: TableSpec = TableSpec(),  # noqa: B008, it is frozen
    formats: Sequence[str] = FORMATS,
) -> Results:
    """Write the newest sweep of that name, or `ALL` trials, as a table in several formats.

    Names joined by "," are sweeps in one table. A table of one sweep's own rows also has figures.
    Raises UserError if there is no such sweep in the store, or nothing of it has finished.
    """
    plan, sweeps = sweeps_called(name, tracker, runtime.store_uri())
    table = tabulate(plan, spec, tracker, scene_reader(runtime.out))
    files = list(write_table(folder, table, formats).values())
    own_rows = table.spec.by == (ROW,) and not table.spec.columns and len(sweeps) == 1
    if plan is not None and own_rows and len(table.rows) <= MAX_ROWS_DRAWN:
        files += _draw_bars(folder, table, plan)
        files += _draw_errors(folder, runtime, table, plan)
        files += _draw_curves(folder, tracker, table, plan)
    return Results(lay_out(table), tuple(files), tuple(sweep.run_id for sweep in sweeps))


def _draw_bars(folder: Path, table: Table, plan: SweepPlan) -> Sequence[Path]:
    metrics = table.spec.metrics
    metric = plan.metric if plan.metric in metrics else metrics[0]
    figure = figures.score_bars(
        long_format(table),
        line_styles(table.rows),
        metric,
        label=metric_label(metric).header,
        baseline=table.spec.baseline,
    )
    return figures.save(figure, folder, "scores")


def _draw_errors(folder: Path, runtime: Runtime, table: Table, plan: SweepPlan) -> Sequence[Path]:
    """Draw one frame for the first and the last row of the table, with one seed."""
    store, rows = Store(runtime.out), plan.rows()
    chosen: dict[str, Mapping[str, np.ndarray]] = {}
    for row in (table.rows[0], table.rows[-1]):
        names = [predictions_name(fingerprint) for fingerprint in rows[row]]
        found = next((name for name in names if store.exists(name)), None)
        if found is not None:
            overlap = any(cell.overlap for cell in table.cells.values() if cell.row == row)
            chosen[marked(row, overlap)] = read_predictions(store, found)
    if not chosen:
        return []
    first = next(iter(chosen.values()))
    points, truth, names = first["xyz_m"], first["truth"], first["class_names"].tolist()
    predictions = {
        row: arrays["predicted"]
        for row, arrays in chosen.items()
        if np.array_equal(arrays["xyz_m"], points)  # the two rows may be of two data sets
    }
    figure = figures.error_figure(points, truth, predictions, names)
    return figures.save(figure, folder, "errors")


def _draw_curves(folder: Path, tracker: Tracker, table: Table, plan: SweepPlan) -> Sequence[Path]:
    """Draw a loss of every pretraining over seeds, with the name of the first row that used it."""
    pretrained = {run.key.fingerprint: run for run in _runs(tracker, "pretrain")}
    evaluated = {
        run.key.fingerprint: run.tags.get(PRETRAINED, "") for run in _runs(tracker, "evaluate")
    }
    used: dict[str, tuple[str, int]] = {}
    for row in table.rows:
        for fingerprint in plan.rows()[row]:
            used.setdefault(evaluated.get(fingerprint, ""), (row, plan.trials[fingerprint].seed))
    shown = {
        fingerprint: term
        for fingerprint in used.keys() & pretrained.keys()
        if (term := primary_term(pretrained[fingerprint].metrics)) is not None
    }
    histories: dict[str, dict[int, float]] = {}
    for term in set(shown.values()):
        run_ids = [pretrained[name].run_id for name in shown if shown[name] == term]
        histories |= tracker.histories(run_ids, f"pretrain/{term}")
    lines: list[tuple[str, str, int, int, float]] = []
    for fingerprint, (row, seed) in used.items():
        if fingerprint in shown:
            history = sorted(histories[pretrained[fingerprint].run_id].items())
            usual = abs(float(np.median([value for _, value in history]))) or 1.0
            name = f"{row}: {shown[fingerprint]}"
            lines += [(name, row, seed, step, value / usual) for step, value in history]
    if not lines:
        return []
    curves = pd.DataFrame(lines, columns=["name", "method", "seed", "step", "value"])
    figure = figures.learning_curves(curves, line_styles(table.rows), "loss / its median")
    return figures.save(figure, folder, "learning")


def _runs(tracker: Tracker, stage: str) -> list[RunRecord]:
    return tracker.records(stage, columns=Columns(settings=(), tags=(PRETRAINED,)))
