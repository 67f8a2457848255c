"""Computes a table from runs: means over seeds, ranks, missing runs and differences.

Equal runs and equal counts per scene give equal tables; nothing is read here.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from olivine.results.tables.code_versions import notes_on_code
from olivine.results.tables.comparisons import compare_with_baseline
from olivine.results.tables.published import PRETRAINING, difference_in_print, in_print
from olivine.results.tables.runs import TableRuns
from olivine.results.tables.runs_by_cell import RunsByCell
from olivine.results.tables.scene_scores import ReadScenes
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.table import (
    OLD_MARK,
    BaselineComparison,
    Cell,
    MissingRun,
    Table,
    num_decimals,
)

NOTHING = (math.nan, math.nan, 0.0)  # mean, std and n of a cell without a finished run
NUM_NAMED = 6  # number of settings that a note names
Key = tuple[str, str, str]  # row, column, metric


def make_table(
    table_runs: TableRuns,
    spec: TableSpec,
    title: str,
    read_scenes: ReadScenes = lambda _: None,
    notes: Sequence[str] = (),
) -> Table:
    """Return every cell of a table.

    A mean is over seeds, with the sample's deviation; runs of one cell and seed are averaged first,
    and a note names their differences. `read_scenes` returns the counts per scene of a run. Raises
    UserError for an unknown row, setting or metric, and if nothing has finished.
    """
    runs = RunsByCell.of(table_runs, spec)
    table_runs.check_metrics(spec.metrics)
    cells = _ranked(_plain_cells(runs), spec)
    compared = compare_with_baseline(runs, read_scenes)
    cells = {key: _with_print(runs, cell, compared.cells.get(key)) for key, cell in cells.items()}
    missing = [MissingRun(run.row, run.seed, run.why) for run in runs.runs if run.why]
    notes = (*notes, *_notes(runs))
    families = compared.families
    return Table(title, spec, runs.rows, runs.columns, cells, tuple(missing), notes, families)


def _plain_cells(runs: RunsByCell) -> dict[Key, Cell]:
    metrics = list(runs.spec.metrics)
    by_seed = runs.lines.groupby(["row", "column", "seed"])[metrics].mean()
    over_seeds = by_seed.groupby(level=["row", "column"]).agg(["mean", "std", "count"])
    keys = over_seeds.index.tolist()
    numbers = over_seeds.to_numpy().reshape(-1, len(metrics), 3).tolist()
    known = {
        (row, column, metric): numbers[i][j]
        for i, (row, column) in enumerate(keys)
        for j, metric in enumerate(metrics)
    }
    return {
        key: _plain_cell(runs, key, known.get(key, NOTHING))
        for key in itertools.product(runs.rows, runs.columns, metrics)
    }


def _plain_cell(runs: RunsByCell, key: Key, numbers: Sequence[float]) -> Cell:
    mean, std, count = numbers
    missing = runs.why_missing(*key[:2]) if math.isnan(mean) else ""
    here = runs.by_key.get(key[:2], [])
    num_old = sum(not run.why and not run.is_reusable for run in here)
    overlap = "" if missing else runs.overlap(*key[:2])
    return Cell(*key, mean, std, int(count), 0, missing, None, None, num_old, overlap)


def _ranked(cells: Mapping[Key, Cell], spec: TableSpec) -> dict[Key, Cell]:
    """Mark the best and the second best of every column and metric, by the written decimals."""
    written: dict[tuple[str, str], dict[Key, float]] = defaultdict(dict)
    for metric in spec.metrics:
        of_metric = {key: cell.mean for key, cell in cells.items() if key[2] == metric}
        decimals = num_decimals(of_metric.values())
        for key, mean in of_metric.items():
            if not math.isnan(mean):
                written[key[1], metric][key] = round(mean, decimals)
    ranked = dict(cells)
    for (_, metric), values in written.items():
        best = sorted(set(values.values()), reverse=not spec.prefers_lower(metric))[:2]
        for key, value in values.items():
            if value in best:
                ranked[key] = replace(cells[key], rank=1 + best.index(value))
    return ranked


def _with_print(runs: RunsByCell, cell: Cell, compared: BaselineComparison | None) -> Cell:
    """Add the published numbers of a cell and of its difference to the baseline."""
    named = runs.in_print_as(cell.row, cell.column)
    known = in_print(runs.spec.published)
    if named is None or not known:
        return replace(cell, compared=compared)
    method, protocol = named
    if compared is not None:
        baseline = runs.spec.baseline.partition(", ")[0]
        gain = difference_in_print(known, method, baseline, (protocol, cell.metric))
        compared = replace(compared, published=gain)
    beside = (known.get((method, name, cell.metric)) for name in (protocol, PRETRAINING))
    return replace(cell, compared=compared, published=next(filter(None, beside), None))


def _notes(runs: RunsByCell) -> Iterator[str]:
    num_old = sum(not run.why and not run.is_reusable for run in runs.runs)
    if num_old:
        yield (
            f"{OLD_MARK} marks cells with runs of a version before 0.3 ({num_old} of them), which "
            "knew their data by the tables alone: scans, images and point labels may have been "
            "others, so these runs are shown and never reused."
        )
    mixed = sorted(runs.mixed)
    if mixed:
        named = ", ".join(mixed[:NUM_NAMED])
        rest = f" and {len(mixed) - NUM_NAMED} more" if len(mixed) > NUM_NAMED else ""
        yield (
            f"Runs within a cell also differ in {named}{rest}; those of one seed are averaged. "
            "Give such a setting to --by or --columns to separate them."
        )
    if runs.has_twins:
        yield (
            "Some runs of one cell and seed have equal settings but other data, labels or code; "
            "they are averaged."
        )
    yield from notes_on_code(runs.made_by)
