"""A table as a value.

All formats are written from one `Table`, so they agree.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from olivine.results.statistics import ALPHA, SeedDifference
from olivine.results.tables.spec import TableSpec

OLD_MARK = "†"  # of a cell with runs that are not reusable


@dataclass(frozen=True)
class InPrint:
    """A published number."""

    value: float
    how: str  # printed, derived (from a published difference) or secondary (from a summary)
    source: str


@dataclass(frozen=True)
class BaselineComparison:
    """A cell compared with the baseline's cell in the same column."""

    seeds: SeedDifference
    p_corrected: float  # over the family: the rows of the column and metric; NaN: no p
    test: str  # pooled, t or wilcoxon
    correction: str  # dunnett or holm
    smallest: float  # the smallest true difference found with power 0.8; NaN: unknown
    scenes: tuple[float, float] | None  # 95 % bootstrap interval of the difference over scenes
    no_scenes: str  # why there is no interval; empty: there is one
    verdict: str
    published: InPrint | None = None  # the published difference

    @property
    def is_significant(self) -> bool:
        """Return whether the difference over seeds is significant."""
        return self.p_corrected < ALPHA


@dataclass(frozen=True)
class Family:
    """The comparisons of one column and metric, whose p-values are corrected together."""

    column: str
    metric: str
    num_tests: int  # rows with a p-value; 0: nothing is tested
    test: str  # pooled, t or wilcoxon; empty: there is no baseline
    correction: str  # dunnett or holm; empty: there is no baseline
    smallest: float  # of the smallest differences found with power 0.8; NaN: unknown
    largest: float  # of them, where rows have unequal numbers of seeds
    fewest_seeds: int
    most_seeds: int
    why_paired: str = ""  # why `auto` did not take the pooled test


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
    compared: BaselineComparison | None  # None: no baseline, or this is it, or nothing to compare
    published: InPrint | None
    num_not_reusable: int = 0  # of its runs: those of a version before 0.3
    overlap: str = ""  # what the network learnt of the scored scenes; empty: nothing known

    @property
    def has_value(self) -> bool:
        """Return whether there is a mean."""
        return not math.isnan(self.mean)


@dataclass(frozen=True)
class MissingRun:
    """A planned run without a result."""

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
    notes: tuple[str, ...]  # remarks that a reader needs
    families: tuple[Family, ...] = ()  # one for each column and metric

    def cell(self, row: str, column: str, metric: str) -> Cell:
        """Return one cell."""
        return self.cells[row, column, metric]

    @functools.cached_property
    def _families(self) -> dict[tuple[str, str], Family]:
        return {(family.column, family.metric): family for family in self.families}

    def family(self, column: str, metric: str) -> Family | None:
        """Return the family of comparisons of a column and metric."""
        return self._families.get((column, metric))


def num_decimals(values: Iterable[float]) -> int:
    """Return the number of decimals of numbers of one kind: two, or more if all are small."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    if not 0 < largest < 0.1:
        return 2
    return min(8, 2 - math.floor(math.log10(largest)))
