"""Sentences about a table's tests: how they were made, their families, and what they can find."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from olivine.results.metrics import PERCENTAGE_POINTS, metric_label
from olivine.results.power import POWER
from olivine.results.seed_tests import VARIANCE_LEVEL
from olivine.results.statistics import ALPHA, MIN_SCENES, MIN_SEEDS, NUM_RESAMPLES
from olivine.results.tables.spec import UNKNOWN
from olivine.results.tables.table import Family, Table, num_decimals

NUM_NAMED = 6  # groups of columns and metrics that a remark names; the CSV has all
NONE = "none"  # where no difference, however large, would be found
CORRECTIONS = {"dunnett": "Dunnett", "holm": "Holm"}
TESTS = {
    "pooled": "pooled test (one variance over all rows of a column, the seed as a block)",
    "t": "paired t-test, seed by seed",
    "wilcoxon": "Wilcoxon's signed-rank test, seed by seed",
}


def remarks_on_tests(table: Table) -> tuple[str, ...]:
    """Return the remarks below the differences of a table with a baseline."""
    spec = table.spec
    tested = "; ".join(_grouped(table, table.families, _how))
    units = {metric_label(metric).unit_of_difference for metric in spec.metrics}
    explained = ("pp: percentage points.",) if PERCENTAGE_POINTS in units else ()
    return (
        f"Differences to `{spec.baseline}`: {tested}; * marks a corrected p below {ALPHA:g}. Fewer "
        f"than {MIN_SEEDS[spec.test]} seeds give no verdict. The interval over seeds is Student's, "
        "of this row alone.",
        *_why_paired(table),
        _family(table),
        *_power(table),
        f"Over scenes: expanded percentiles of {NUM_RESAMPLES:,} bootstrap draws of the validation "
        f"scenes, the same draws for both rows; fewer than {MIN_SCENES} scenes give none. It "
        'shows the effect of other scenes, not of other seeds. "Better" and "worse" need the same '
        "direction over both; a row ahead or behind over seeds alone is told so.",
        *explained,
    )


def remark_without_tests(table: Table) -> str:
    """Return the remark of a table without a baseline."""
    known = [family for family in table.families if not math.isnan(family.smallest)]
    start = "Without a baseline no difference is tested: the family of comparisons is empty."
    if not known:
        return (
            f"{start} What a comparison could find is unknown: it needs two rows of "
            f"{MIN_SEEDS['pooled']} seeds that differ."
        )
    return (
        f"{start} If all rows were compared with one of them, the pooled test would find with "
        f"power {POWER:g} a true difference of {'; '.join(_sizes(table, known))}."
    )


def size_text(value: float, decimals: int) -> str:
    """Return a smallest difference as text."""
    if math.isnan(value):
        return UNKNOWN
    return NONE if math.isinf(value) else f"{value:.{decimals}f}"


def family_text(family: Family, baseline: str) -> str:
    """Return a family of comparisons in a few words."""
    if not family.test:
        return "none: no baseline"
    rows = "row" if family.num_tests == 1 else "rows"
    return f"{family.num_tests} {rows} against {baseline}, of one column and metric"


def _how(family: Family) -> str:
    return f"{TESTS[family.test]}, p corrected by {CORRECTIONS[family.correction]}"


def _why_paired(table: Table) -> Iterator[str]:
    paired = [family for family in table.families if family.why_paired]
    if paired:
        reasons = "; ".join(_grouped(table, paired, lambda family: family.why_paired))
        yield (
            f"The paired test stands in for the pooled one: {reasons}. Equal variances are tested "
            "by Cochran's test on the residuals of row and seed, and by the baseline's share of "
            f"their squares, at a level of {VARIANCE_LEVEL:g} each, since few seeds tell little of "
            "variances."
        )


def _family(table: Table) -> str:
    sizes = "; ".join(_grouped(table, table.families, _size))
    text = (
        "Family of comparisons, whose p are corrected together: the rows of one column and one "
        f"metric against `{table.spec.baseline}`: {sizes}."
    )
    num = len(table.families)
    return f"{text} Nothing is corrected over the {num} families." if num > 1 else text


def _size(family: Family) -> str:
    return f"{family.num_tests} comparison{'' if family.num_tests == 1 else 's'}"


def _power(table: Table) -> Iterator[str]:
    known = [family for family in table.families if not math.isnan(family.smallest)]
    if not known:
        yield "The smallest difference that could be found is unknown: nothing was tested."
        return
    yield (
        f"Smallest true difference that was to be found with power {POWER:g}, by the variance of "
        f"all rows: {'; '.join(_sizes(table, known))}. A smaller one may well be there."
    )


def _sizes(table: Table, families: Sequence[Family]) -> list[str]:
    decimals = {
        metric: num_decimals(c.mean for c in table.cells.values() if c.metric == metric)
        for metric in table.spec.metrics
    }

    def text(family: Family) -> str:
        low, high = (
            size_text(x, decimals[family.metric]) for x in (family.smallest, family.largest)
        )
        unit = metric_label(family.metric).unit_of_difference
        size = low if low == high else f"{low} to {high}"
        seeds = f"{family.fewest_seeds}"
        if family.most_seeds > family.fewest_seeds:
            seeds += f" to {family.most_seeds}"
        return f"{size}{f' {unit}' if unit and low != NONE else ''} (n = {seeds})"

    return _grouped(table, families, text)


def _grouped(table: Table, families: Iterable[Family], text: Callable[[Family], str]) -> list[str]:
    """Return each text once, with the columns and metrics that it is about if there are several."""
    groups: dict[str, list[str]] = {}
    for family in families:
        groups.setdefault(text(family), []).append(_name(family, table))
    if len(table.families) == 1 or (len(groups) == 1 and _is_about_all(table, groups)):
        return list(groups)
    named = [f"{', '.join(_few(names))}: {told}" for told, names in groups.items()]
    return _few(named)


def _is_about_all(table: Table, groups: dict[str, list[str]]) -> bool:
    return sum(map(len, groups.values())) == len(table.families)


def _few(texts: Sequence[str]) -> list[str]:
    rest = len(texts) - NUM_NAMED
    return [*texts[:NUM_NAMED], f"{rest} more (in the CSV)"] if rest > 0 else list(texts)


def _name(family: Family, table: Table) -> str:
    metric = metric_label(family.metric).text
    if not table.spec.columns:
        return metric
    return family.column if len(table.spec.metrics) == 1 else f"{family.column} {metric}"
