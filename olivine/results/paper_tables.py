"""The paper's tables, and the sweeps that ask for them."""

from collections.abc import Sequence

from olivine.core.errors import UserError, nearest
from olivine.experiments.sweep_files import find_sweep
from olivine.results.tables.spec import EVALUATION, METHOD, TableSpec

# The paper's tables, and the sweeps that ask for them.
SEMANTIC_KITTI = "label_fraction_semantickitti"

TABLES = {
    "table1": ("methods", "label_fraction", SEMANTIC_KITTI),
    "table2": (SEMANTIC_KITTI,),
    "table6": ("components", "design_choices"),
    "table7": ("backbones",),
    "table9": ("cost",),
    "table10": ("methods",),
}

ONLY = {
    ("table1", SEMANTIC_KITTI): ", 1 %"
}  # the ends of the names of the rows that a table takes from a sweep

# Tables of several sweeps that are one in print, too.
JOINT = {"table1": TableSpec(by=(METHOD,), columns=(EVALUATION,), metrics=("miou",))}

OF_CLASSES = {"table10"}  # tables with a column per class instead of a metric


def rows_of(table: str, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return the rows that a table takes from each of its sweeps: all, or the `wanted` ones.

    Raises UserError for a row that none of them has, before any of them runs.
    """
    rows = {
        name: [row for row in find_sweep(name).rows if row.endswith(ONLY.get((table, name), ""))]
        for name in TABLES[table]
    }
    known = [row for of_sweep in rows.values() for row in of_sweep]
    for row in wanted:
        if row not in known:
            raise UserError(f"No sweep of {table} has a row {row!r}.{nearest(row, known)}")
    return {
        name: [row for row in of_sweep if not wanted or row in wanted]
        for name, of_sweep in rows.items()
    }
