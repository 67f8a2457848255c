"""A table as a value: what is asked of it, and every cell of the answer.

All formats are written from one `Table`, so they cannot disagree.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field

from olivine.core.spec import Spec
from olivine.results.statistics import PairedTest, Test

# What the rows or columns of a table can be besides a setting: a sweep's row, that row up to its
# first comma (a method, whatever share of the labels it has), the sweep, the seed, and how it was
# evaluated (protocol, share of the labels, data set).
ROW, METHOD, SWEEP, SEED, EVALUATION = "row", "method", "sweep", "seed", "evaluation"
LABELS = (ROW, METHOD, SWEEP, SEED, EVALUATION)
UNKNOWN = "–"

ALPHA = 0.05  # of the corrected p below which a difference is called one

# The last part of a metric's name says which way is better; all others are scores.
_LOWER_WORDS = {"loss", "error", "entropy", "lovasz", "cost", "hours", "memory", "mce"}
_LOWER_UNITS = ("_s", "_ms", "_gb", "_mb", "_usd")


class TableSpec(Spec):
    """What a table shows.

    A row is one combination of values of `by`, a column one of `columns`: settings by their dotted
    names, or one of `LABELS`. `rows` keeps some rows, by their labels. `baseline` is the row that
    the others are compared with, `published` the table in print that stands beside.
    """

    by: tuple[str, ...] = Field(default=(ROW,), min_length=1)
    columns: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()  # empty: what its sweep is about
    rows: tuple[str, ...] = ()
    baseline: str = ""
    lower_is_better: tuple[str, ...] = ()  # besides those whose names say so
    test: Test = "t"
    published: str = ""

    def prefers_lower(self, metric: str) -> bool:
        """Say whether the smaller value of a metric is the better one."""
        name = metric.rpartition("/")[2].lower()
        if metric in self.lower_is_better or _LOWER_WORDS & set(name.split("_")):
            return True
        return name.endswith(_LOWER_UNITS) and "_per_" not in name


@dataclass(frozen=True)
class InPrint:
    """A number that somebody published."""

    value: float
    how: str  # printed, derived (from a difference in print) or secondary (somebody's summary)
    source: str


@dataclass(frozen=True)
class Comparison:
    """A cell against the baseline's in the same column."""

    seeds: PairedTest
    p_holm: float  # corrected over the rows of the column and metric; NaN: no p
    scenes: tuple[float, float] | None  # 95 % bootstrap interval of the difference over scenes
    no_scenes: str  # why there is none; empty: there is one
    verdict: str
    published: InPrint | None = None  # the same difference in print

    @property
    def is_significant(self) -> bool:
        """Say whether the seeds tell the two apart."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Cell:
    """One metric of one row in one column, over seeds."""

    row: str
    column: str  # empty: the table has no columns of settings
    metric: str
    mean: float  # over seeds; NaN: no finished run has it
    std: float  # the sample's, n - 1; NaN: fewer than two seeds
    n: int  # seeds
    rank: int  # 1: best of the column, 2: second best, 0: neither
    missing: str  # why there is no mean; empty: there is one
    compared: Comparison | None  # None: no baseline, or this is it, or nothing to compare
    published: InPrint | None

    @property
    def has_value(self) -> bool:
        """Say whether there is a mean."""
        return not math.isnan(self.mean)


@dataclass(frozen=True)
class MissingRun:
    """A run that was asked for and has no result."""

    name: str  # of its row in its sweep
    seed: int
    why: str


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str
    spec: TableSpec
    rows: tuple[str, ...]
    columns: tuple[str, ...]  # ("",): no columns of settings
    cells: dict[tuple[str, str, str], Cell]  # by row, column and metric
    missing: tuple[MissingRun, ...]
    notes: tuple[str, ...]  # what a reader must know to read it rightly

    def cell(self, row: str, column: str, metric: str) -> Cell:
        """Return one cell."""
        return self.cells[row, column, metric]


def num_decimals(values: Iterable[float]) -> int:
    """Return the decimals that numbers of one kind are written with: two, more if all are small."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    if not 0 < largest < 0.1:
        return 2
    return min(8, 2 - math.floor(math.log10(largest)))
