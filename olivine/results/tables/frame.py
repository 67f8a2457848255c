"""A sweep's table as a pandas frame, for notebooks."""

import logging

import pandas as pd

from olivine.core.runtime import Runtime
from olivine.results.tables.build import ALL, scene_reader, sweeps_called, tabulate
from olivine.results.tables.formats import long_format
from olivine.results.tables.spec import ROW, SWEEP, TableSpec
from olivine.results.tables.table import Table
from olivine.results.words import overlap_remark
from olivine.tracking.tracker import Tracker

log = logging.getLogger("olivine")


def long_frame(name: str, runtime: Runtime, tracker: Tracker, **fields: object) -> pd.DataFrame:
    """Return a line for each row, column and metric, as in the table's CSV.

    `fields` are fields of `TableSpec`; an empty one has the default of `olivine table`.
    """
    return long_format(_table(name, runtime, tracker, fields))


def wide_frame(name: str, runtime: Runtime, tracker: Tracker, **fields: object) -> pd.DataFrame:
    """Return the means: a line for each row, a column for each metric.

    A table with columns has two levels of them, the table's column above the metric. A number has
    no mark of an overlap: a frame with such ones logs a warning, and its `attrs` have the "overlap"
    of each row.
    """
    table = _table(name, runtime, tracker, fields)
    means = {
        (column, metric): [table.cell(row, column, metric).mean for row in table.rows]
        for column in table.columns
        for metric in table.spec.metrics
    }
    frame = pd.DataFrame(means, index=pd.Index(table.rows, name="method"))
    frame.columns = pd.MultiIndex.from_tuples(list(means), names=["column", "metric"])
    frame = frame if table.spec.columns else frame.droplevel("column", axis=1)
    if overlaps := {cell.row: cell.overlap for cell in table.cells.values() if cell.overlap}:
        frame.attrs["overlap"] = overlaps
        log.warning(overlap_remark(overlaps.values(), overlaps))
    return frame


def _table(name: str, runtime: Runtime, tracker: Tracker, fields: dict[str, object]) -> Table:
    by = fields.get("by") or ((SWEEP, ROW) if name == ALL else (ROW,))
    spec = TableSpec.from_dict({**fields, "by": by})
    plan, _ = sweeps_called(name, tracker, runtime.store_uri())
    return tabulate(plan, spec, tracker, scene_reader(runtime.out))
