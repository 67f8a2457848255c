"""What is asked of a table."""

from typing import Literal

from pydantic import Field

from olivine.core.spec import Spec
from olivine.results.metrics import prefers_lower
from olivine.results.words import ABSENT

# What the rows or columns of a table can be besides a setting: a sweep's row, that row up to its
# first comma (a method, whatever share of the labels it has), the sweep, the seed, and how it was
# evaluated (protocol, share of the labels, data set).
ROW, METHOD, SWEEP, SEED, EVALUATION = "row", "method", "sweep", "seed", "evaluation"
LABELS = (ROW, METHOD, SWEEP, SEED, EVALUATION)
UNKNOWN = ABSENT  # the value of a setting that a run has not

SeedTest = Literal["t", "wilcoxon"]  # paired t-test, Wilcoxon's signed-rank test


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
    test: SeedTest = "t"
    published: str = ""

    def prefers_lower(self, metric: str) -> bool:
        """Say whether the smaller value of a metric is the better one."""
        return metric in self.lower_is_better or prefers_lower(metric)
