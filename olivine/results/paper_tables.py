"""The paper's tables, and the sweeps that ask for them.

Tables 3, 4 and 8 (other data sets, detection, robustness) are not among them yet.
"""

from collections.abc import Sequence

from olivine.core.errors import UserError, nearest
from olivine.experiments.sweep_files import find_sweep
from olivine.results.tables.spec import EVALUATION, METHOD, TableSpec

SEMANTIC_KITTI = "label_fraction_semantickitti"

TABLES = {
    "table1": ("methods", "label_fraction", SEMANTIC_KITTI),
    "table2": (SEMANTIC_KITTI,),
    "table5": ("components", "components_1_percent", "components_semantickitti"),
    "table6": ("design_choices", "design_choices_semantickitti"),
    "table7": ("backbones",),
    "table9": ("cost",),
    "table10": ("label_fraction",),
    "table11": (SEMANTIC_KITTI,),
    "table12": ("label_source",),
}

# The ends of the names of the rows that a table takes from a sweep; all where nothing is said.
ONLY = {
    ("table1", SEMANTIC_KITTI): ", 1 %",
    ("table10", "label_fraction"): ", 1 %",
    ("table11", SEMANTIC_KITTI): ", 1 %",
}

# Tables of several sweeps, or of several shares of the labels, that are one in print, too.
_METHODS_BY_EVALUATION = TableSpec(by=(METHOD,), columns=(EVALUATION,), metrics=("miou",))
JOINT = dict.fromkeys(("table1", "table2", "table5", "table6", "table7"), _METHODS_BY_EVALUATION)

OF_CLASSES = {"table10", "table11"}  # tables with a column per class instead of a metric


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


def reads_semantic_kitti(sweep: str) -> bool:
    """Return whether the networks of a sweep are scored on SemanticKITTI."""
    from olivine.experiments.recipes import recipe  # the tables' names need no numpy

    return recipe(find_sweep(sweep).recipe).val.kind == "semantic_kitti"
