"""Tests of all rows of a column against its baseline, over seeds, as one family.

`pooled` estimates one variance from all rows (`block_model`) and corrects by Dunnett's test, or by
Holm where cells are missing. `t` and `wilcoxon` test each difference by its own seeds and correct
by Holm. `auto` is `pooled` where the variances allow it, else `t`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

from olivine.results.block_model import BlockModel, equal_variances, fit_blocks
from olivine.results.power import (
    dunnett_critical,
    dunnett_p,
    findable,
    findable_by_ranks,
    student_critical,
)
from olivine.results.statistics import (
    CONFIDENCE,
    MIN_SEEDS,
    SeedDifference,
    holm,
    paired_test,
)
from olivine.results.tables.spec import SeedTest

# Level of the two tests of equal variances below which the pooled test is not the default. A few
# seeds tell little of variances, so it is far above 0.05: a rejection costs power, a missed
# difference of variances makes false positives (`benchmarks/results/power.py` measures both).
VARIANCE_LEVEL = 0.25
Used = Literal["pooled", "t", "wilcoxon"]
Correction = Literal["dunnett", "holm"]


@dataclass(frozen=True)
class FamilyTest:
    """The comparisons of some rows with one baseline, corrected together."""

    rows: tuple[SeedDifference, ...]
    corrected: tuple[float, ...]  # p-values
    findable: tuple[float, ...]  # smallest true difference of each, found with power 0.8; NaN
    used: Used
    correction: Correction
    num_tests: int  # p-values that were corrected together
    why_paired: str = ""  # why `auto` did not take the pooled test


def compare_rows(
    baseline: Float[np.ndarray, " b"], rows: Float[np.ndarray, "m b"], test: SeedTest = "auto"
) -> FamilyTest:
    """Compare rows of values by seed with a baseline's; NaN is a missing cell."""
    num_shared = (~np.isnan(rows) & ~np.isnan(baseline)).sum(axis=1)
    # A row that shares no seed with the baseline is left out: no seed's effect connects the two.
    near = np.flatnonzero(num_shared > 0)
    model = fit_blocks(np.vstack([baseline, rows[near]])) if len(near) else None
    used, why = _choice(model, test)
    if used != "pooled":
        return replace(_paired(baseline, rows, used, model), why_paired=why)
    family = _pooled(model, num_shared[near]) if model is not None else None
    apart = SeedDifference(math.nan, math.nan, math.nan, math.nan, 0)
    place = {row: index for index, row in enumerate(near.tolist())}

    def whole(values: Sequence, absent: object) -> tuple:
        return tuple(values[place[i]] if i in place else absent for i in range(len(rows)))

    if family is None:
        nothing = (math.nan,) * len(rows)
        return FamilyTest((apart,) * len(rows), nothing, nothing, "pooled", "holm", 0)
    return replace(
        family,
        rows=whole(family.rows, apart),
        corrected=whole(family.corrected, math.nan),
        findable=whole(family.findable, math.nan),
    )


def smallest_differences(values: Float[np.ndarray, "k b"]) -> tuple[float, float]:
    """Return the range of the smallest differences that the pooled test could find, or NaN.

    Without a baseline the row with the most seeds is taken for one.
    """
    kept = values[~np.isnan(values).all(axis=1)]
    if len(kept) < 2:
        return math.nan, math.nan
    first = int((~np.isnan(kept)).sum(axis=1).argmax())
    found = compare_rows(kept[first], np.delete(kept, first, axis=0), "pooled").findable
    known = [one for one in found if not math.isnan(one)]
    return (min(known), max(known)) if known else (math.nan, math.nan)


def _choice(model: BlockModel | None, test: SeedTest) -> tuple[Used, str]:
    """Return the test to use and, if `auto` does not take the pooled one, the reason."""
    if test != "auto":
        return test, ""
    if model is None or len(model.differences) < 2:
        return "t", ""  # of one row, the paired and the pooled test are the same
    if not model.has_spread:
        return "pooled", ""
    check = equal_variances(model)
    for p, what in (
        (check.p_largest, "one row's deviation is larger than the others'"),
        (check.p_baseline, "the baseline's deviation is larger than the others'"),
    ):
        if p < VARIANCE_LEVEL:
            return "t", f"{what} (p = {p:.2g})"
    return "pooled", ""


def _pooled(model: BlockModel, num_shared: Int[np.ndarray, " m"]) -> FamilyTest:
    enough = num_shared >= MIN_SEEDS["pooled"]
    errors = np.where(enough, np.sqrt(model.variance * model.variance_factors), math.nan)
    if not model.has_spread:
        errors = np.full(len(enough), math.nan)
    statistics = model.differences / errors
    p = 2 * scipy.stats.t.sf(np.abs(statistics), max(model.num_degrees, 1))
    reach = errors * scipy.stats.t.ppf((1 + CONFIDENCE) / 2, max(model.num_degrees, 1))
    if not model.has_spread:
        p = np.where(enough & (np.abs(model.differences) <= model.rounding), 1.0, math.nan)
        reach = np.where(enough, 0.0, math.nan)
    num_tests = int((~np.isnan(p)).sum())
    found, reached, ps = model.differences.tolist(), reach.tolist(), p.tolist()
    rows = tuple(
        SeedDifference(found[i], found[i] - reached[i], found[i] + reached[i], ps[i], shared)
        for i, shared in enumerate(num_shared.tolist())
    )
    correction: Correction = "holm"
    corrected, shift = holm(ps), math.nan
    if num_tests and model.has_spread:
        critical = student_critical(num_tests, model.num_degrees)
        if model.is_complete:  # else the differences are not alike, as Dunnett's test has it
            correction = "dunnett"
            corrected = dunnett_p(statistics.tolist(), num_tests, model.num_degrees)
            critical = dunnett_critical(num_tests, model.num_degrees)
        shift = findable(critical, model.num_degrees)
    smallest = tuple((shift * errors).tolist())
    return FamilyTest(rows, tuple(corrected), smallest, "pooled", correction, num_tests)


def _paired(
    baseline: Float[np.ndarray, " b"],
    rows: Float[np.ndarray, "m b"],
    test: Literal["t", "wilcoxon"],
    model: BlockModel | None,
) -> FamilyTest:
    found = []
    for row in rows:
        both = ~np.isnan(row + baseline)
        found.append(paired_test(row[both], baseline[both], test))
    num_tests = sum(not math.isnan(one.p) for one in found)
    smallest = [math.nan] * len(found)
    if num_tests and model is not None and model.has_spread:
        deviation = math.sqrt(2 * model.variance)  # of a difference of two values
        smallest = [
            math.nan if math.isnan(one.p) else deviation * _shift(test, one.num_seeds, num_tests)
            for one in found
        ]
    corrected = tuple(holm([one.p for one in found]))
    return FamilyTest(tuple(found), corrected, tuple(smallest), test, "holm", num_tests)


def _shift(test: Literal["t", "wilcoxon"], num_seeds: int, num_tests: int) -> float:
    """Return the smallest difference that a test of pairs can find, in their deviations."""
    if test == "wilcoxon":
        return findable_by_ranks(num_seeds, num_tests)
    critical = student_critical(num_tests, num_seeds - 1)
    return findable(critical, num_seeds - 1) / math.sqrt(num_seeds)
