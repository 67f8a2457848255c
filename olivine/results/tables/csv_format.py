"""A table as CSV: a line per cell, numbers as they are."""

import math

import pandas as pd

from olivine.results.tables.spec import Cell, Table

COLUMNS = (
    "method", "metric", "mean", "std", "n", "column", "rank", "missing",
    "baseline", "difference", "difference_low", "difference_high", "num_seeds_compared", "test",
    "p", "p_holm", "scenes_low", "scenes_high", "no_scenes", "verdict",
    "published", "published_how", "published_source", "published_difference",
)  # fmt: skip


def long_format(table: Table) -> pd.DataFrame:
    """Return a line per cell, with `COLUMNS`; method is the row's label."""
    lines = [_line(cell, table) for cell in table.cells.values()]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def csv(table: Table) -> str:
    """Return the lines as text; what does not apply is empty."""
    return long_format(table).to_csv(index=False)


def _line(cell: Cell, table: Table) -> dict[str, object]:
    line: dict[str, object] = {
        "method": cell.row,
        "metric": cell.metric,
        "mean": cell.mean,
        "std": cell.std,
        "n": cell.n,
        "column": cell.column,
        "rank": cell.rank or None,
        "missing": cell.missing,
    }
    if cell.published is not None:
        line["published"] = cell.published.value
        line["published_how"] = cell.published.how
        line["published_source"] = cell.published.source
    compared = cell.compared
    if compared is None:
        return line
    low, high = compared.scenes or (math.nan, math.nan)
    in_print = compared.published
    return line | {
        "baseline": table.spec.baseline,
        "difference": compared.seeds.difference,
        "difference_low": compared.seeds.low,
        "difference_high": compared.seeds.high,
        "num_seeds_compared": compared.seeds.num_seeds,
        "test": table.spec.test,
        "p": compared.seeds.p,
        "p_holm": compared.p_holm,
        "scenes_low": low,
        "scenes_high": high,
        "no_scenes": compared.no_scenes,
        "verdict": compared.verdict,
        "published_difference": in_print.value if in_print else math.nan,
    }
