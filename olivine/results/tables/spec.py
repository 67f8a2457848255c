"""The settings of a table."""

from typing import Literal

from pydantic import Field

from olivine.core.spec import Spec
from olivine.results.metrics import prefers_lower
from olivine.results.words import ABSENT

# Rows or columns of a table can be these labels instead of a setting: a sweep's row, that row up to
# its first comma (a method, with any share of the labels), the sweep, the seed, and the evaluation
# (protocol, share of the labels, data set).
ROW, METHOD, SWEEP, SEED, EVALUATION = "row", "method", "sweep", "seed", "evaluation"
LABELS = (ROW, METHOD, SWEEP, SEED, EVALUATION)
UNKNOWN = ABSENT  # the value of a setting that a run does not have

# pooled has one variance over all rows and Dunnett's test, t is the paired t-test, wilcoxon the
# signed-rank test; auto is pooled where the variances allow it, else t.
SeedTest = Literal["auto", "pooled", "t", "wilcoxon"]


class TableSpec(Spec):
    """The rows, columns and metrics of a table, and its comparison.

    A row is one combination of values of `by`, a column one of `columns`: settings by their dotted
    names, or one of `LABELS`. `rows` keeps some rows, by their labels. `baseline` is the row with
    which the others are compared by a `test` over seeds, `published` the published table beside
    them.
    """

    by: tuple[str, ...] = Field(default=(ROW,), min_length=1)
    columns: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()  # empty: the sweep's metric
    rows: tuple[str, ...] = ()
    baseline: str = ""
    lower_is_better: tuple[str, ...] = ()  # in addition to those known by their names
    test: SeedTest = "auto"
    published: str = ""

    def prefers_lower(self, metric: str) -> bool:
        """Return whether lower values of a metric are better."""
        return metric in self.lower_is_better or prefers_lower(metric)
