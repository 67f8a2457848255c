"""A table as text: two tables of formatted numbers, and remarks below them.

Every format except the CSV is written from it, so that their contents are the same.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from olivine.results.metrics import metric_label
from olivine.results.power import POWER
from olivine.results.tables.remarks_on_tests import (
    CORRECTIONS,
    remark_without_tests,
    remarks_on_tests,
    size_text,
)
from olivine.results.tables.spec import ROW, UNKNOWN
from olivine.results.tables.table import (
    OLD_MARK,
    BaselineComparison,
    Cell,
    InPrint,
    Table,
    num_decimals,
)
from olivine.results.words import marked, overlap_remark

NUM_MISSING_SHOWN = 50
VERDICT = "verdict"


@dataclass(frozen=True)
class TextCell:
    """The text of one cell, and its mark."""

    text: str
    is_best: bool = False
    is_second: bool = False
    is_missing: bool = False


@dataclass(frozen=True)
class TextTable:
    """Lines of texts under a header; the first `num_labels` columns name a line."""

    header: tuple[str, ...]
    lines: tuple[tuple[TextCell, ...], ...]
    num_labels: int = 1

    @property
    def text_columns(self) -> frozenset[int]:
        """The columns of words, which are left-aligned."""
        verdicts = (i for i, name in enumerate(self.header) if name == VERDICT)
        return frozenset((*range(self.num_labels), *verdicts))


@dataclass(frozen=True)
class Layout:
    """The contents of a page about a table, in its order."""

    title: str
    scores: TextTable
    remarks: tuple[str, ...]  # sentences
    differences: TextTable | None
    difference_remarks: tuple[str, ...]
    sources: tuple[str, ...]  # of the numbers in print, an item each
    missing: tuple[str, ...]  # an item each


def lay_out(table: Table) -> Layout:
    """Return a table's texts."""
    spec = table.spec
    lower = [metric_label(name).text for name in spec.metrics if spec.prefers_lower(name)]
    remarks = [
        "Mean ± standard deviation over n seeds; the best of a column is bold, the second best "
        "underlined."
    ]
    remarks += [f"Lower is better for {', '.join(lower)}."] if lower else []
    if _heads(spec.by) != ", ".join(spec.by):
        remarks.append(f"Rows: {', '.join(spec.by)}.")
    if spec.columns:
        remarks.append(f"Columns: {', '.join(spec.columns)}.")
    if not spec.baseline:
        remarks.append(remark_without_tests(table))
    return Layout(
        table.title,
        _scores(table),
        (*remarks, *table.notes, *_overlap_remarks(table)),
        _differences(table) if spec.baseline else None,
        remarks_on_tests(table) if spec.baseline else (),
        tuple(_sources(table)),
        tuple(_missing(table)),
    )


def _scores(table: Table) -> TextTable:
    blocks = list(itertools.product(table.columns, table.spec.metrics))
    printed = [
        block
        for block in blocks
        if any(table.cell(row, *block).published is not None for row in table.rows)
    ]
    heads = [_head(table, *block) for block in blocks]
    header = [_row_head(table), *heads, "n"]
    if table.spec.columns and len(table.spec.metrics) == 1:  # its columns do not name the metric
        header[0] = f"{metric_label(table.spec.metrics[0]).header} by {header[0]}"
    header += [f"{_head(table, *block)}, published" for block in printed]
    decimals = _decimals(table)
    lines = []
    for row in table.rows:
        cells = [table.cell(row, *block) for block in blocks]
        beside = [table.cell(row, *block).published for block in printed]
        counts = {cell.n for cell in cells}
        shown = sorted(counts - {0} or {0})
        lines.append(
            (
                TextCell(row),
                *(_score(cell, decimals[cell.metric]) for cell in cells),
                TextCell("/".join(map(str, shown))),
                *(TextCell(print_text(number)) for number in beside),
            )
        )
    return TextTable(tuple(header), tuple(lines))


def _score(cell: Cell, decimals: int) -> TextCell:
    if not cell.has_value:
        word = cell.missing.partition(":")[0]  # the list below has the full reason
        return TextCell(word, is_missing=True)
    spread = UNKNOWN if math.isnan(cell.std) else f"{cell.std:.{decimals}f}"
    star = "*" if cell.compared is not None and cell.compared.is_significant else ""
    old = f" {OLD_MARK}" if cell.num_not_reusable else ""
    text = f"{cell.mean:.{decimals}f} ± {spread}{star}{old}"
    return TextCell(marked(text, cell.overlap), is_best=cell.rank == 1, is_second=cell.rank == 2)


def _differences(table: Table) -> TextTable:
    """Return a line per row, column and metric that is compared."""
    several = {"column": len(table.columns) > 1, "metric": len(table.spec.metrics) > 1}
    lines, decimals, unit = [], _decimals(table), _unit_of_differences(table)
    has_print = any(cell.compared and cell.compared.published for cell in table.cells.values())
    for cell in table.cells.values():
        if cell.compared is None:
            continue
        labels = [cell.row]
        labels += [cell.column] if several["column"] else []
        labels += [_difference_label(cell.metric, unit)] if several["metric"] else []
        baseline = table.cell(table.spec.baseline, cell.column, cell.metric)
        texts = labels + _compared(cell.compared, decimals[cell.metric])
        texts[len(labels)] = marked(texts[len(labels)], cell.overlap or baseline.overlap)
        texts += [print_text(cell.compared.published, signed=True)] if has_print else []
        lines.append(tuple(TextCell(text) for text in texts))
    header = [_row_head(table)]
    header += [_heads(table.spec.columns)] if several["column"] else []
    header += ["metric"] if several["metric"] else []
    num_labels = len(header)
    header += [f"difference{unit}", VERDICT, _corrected_head(table), "n"]
    header += [f"smallest with power {POWER:g}{unit}"]
    header += [f"95 % over seeds{unit}", f"95 % over scenes{unit}", "p"]
    header += [f"published{unit}"] if has_print else []
    return TextTable(tuple(header), tuple(lines), num_labels)


def _corrected_head(table: Table) -> str:
    names = {CORRECTIONS[family.correction] for family in table.families}
    return f"p ({names.pop()})" if len(names) == 1 else "p (corrected)"


def _unit_of_differences(table: Table) -> str:
    """Return the common unit of all differences in brackets, or "" if they differ."""
    units = {metric_label(metric).unit_of_difference for metric in table.spec.metrics}
    unit = units.pop() if len(units) == 1 else ""
    return f" ({unit})" if unit else ""


def _difference_label(metric: str, common_unit: str) -> str:
    """Return the metric's name in a line of differences, with its unit if no header has it."""
    label = metric_label(metric)
    unit = "" if common_unit else label.unit_of_difference
    return f"{label.text} ({unit})" if unit else label.text


def _compared(compared: BaselineComparison, decimals: int) -> list[str]:
    seeds = compared.seeds
    known = not math.isnan(seeds.difference)
    over_seeds = None if math.isnan(seeds.low) else (seeds.low, seeds.high)
    return [
        f"{seeds.difference:+.{decimals}f}" if known else UNKNOWN,
        compared.verdict,
        _p(compared.p_corrected),
        str(seeds.num_seeds),
        size_text(compared.smallest, decimals),
        _interval(over_seeds, decimals) or UNKNOWN,
        _interval(compared.scenes, decimals) or compared.no_scenes,
        _p(seeds.p),
    ]


def _overlap_remarks(table: Table) -> tuple[str, ...]:
    """Return the sentences that explain marked cells, one for all cells of one overlap."""
    found: dict[str, dict[str, None]] = {}
    for cell in table.cells.values():
        if cell.overlap:
            name = f"{cell.row}, {cell.column}" if cell.column else cell.row
            found.setdefault(cell.overlap, {})[name] = None
    return tuple(overlap_remark([overlap], rows) for overlap, rows in found.items())


def _sources(table: Table) -> Iterator[str]:
    for cell in table.cells.values():
        column = f", {cell.column}" if cell.column else ""
        where = f"`{cell.row}`{column}, {metric_label(cell.metric).text}"
        for what, number in (
            (where, cell.published),
            (f"{where}, difference", cell.compared and cell.compared.published),
        ):
            if number:
                yield f"{what}: {number.value:g}, {number.how}; {number.source}"


def _missing(table: Table) -> Iterator[str]:
    for run in table.missing[:NUM_MISSING_SHOWN]:
        yield f"`{run.name}`, seed {run.seed}: {run.why}"
    if len(table.missing) > NUM_MISSING_SHOWN:
        yield f"and {len(table.missing) - NUM_MISSING_SHOWN} more"


def print_text(number: InPrint | None, *, signed: bool = False) -> str:
    """Return a published number as text; ≈ marks one that is not printed as such."""
    if number is None:
        return UNKNOWN
    mark = "" if number.how == "printed" else "≈ "
    return f"{mark}{number.value:+g}" if signed else f"{mark}{number.value:g}"


def _row_head(table: Table) -> str:
    return "method" if table.spec.by == (ROW,) else _heads(table.spec.by)


def _heads(names: Sequence[str]) -> str:
    """Return settings by the ends of their names; a remark has the full names."""
    return ", ".join(".".join(name.split(".")[-2:]) for name in names)


def _head(table: Table, column: str, metric: str) -> str:
    header = metric_label(metric).header
    if not table.spec.columns:
        return header
    return column if len(table.spec.metrics) == 1 else f"{column}: {header}"


def _decimals(table: Table) -> dict[str, int]:
    return {
        metric: num_decimals(c.mean for c in table.cells.values() if c.metric == metric)
        for metric in table.spec.metrics
    }


def _interval(interval: tuple[float, float] | None, decimals: int) -> str:
    return "" if interval is None else "[" + ", ".join(f"{x:+.{decimals}f}" for x in interval) + "]"


def _p(value: float) -> str:
    if math.isnan(value):
        return UNKNOWN
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"
