"""A table as Markdown, LaTeX, HTML and CSV.

HTML and LaTeX are written by pandas' Styler, Markdown and the CSV here. All but the CSV have the
texts of one `Layout`, so their contents are the same.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from olivine.results.html import html_table, render, whole_tables, with_header
from olivine.results.tables.latex_text import escape_latex
from olivine.results.tables.remarks_on_tests import family_text
from olivine.results.tables.table import Cell, Table
from olivine.results.tables.text import Layout, TextCell, TextTable
from olivine.results.words import code_parts

LATEX_PACKAGES = ("booktabs", "graphicx")
CSV_COLUMNS = (
    "method", "metric", "mean", "std", "n", "column", "rank", "missing",
    "baseline", "difference", "difference_low", "difference_high", "num_seeds_compared", "test",
    "p", "p_holm", "p_corrected", "correction", "scenes_low", "scenes_high", "no_scenes", "verdict",
    "published", "published_how", "published_source", "published_difference",
    "num_in_family", "family", "smallest_difference", "notes", "not_reusable", "overlap",
)  # fmt: skip
PRINT_NOTE = (
    "Published numbers are the authors', at their scale and on their data, and are in no mean of "
    "ours (≈: not printed as such):"
)
# Scaled down if it is wider than the text.
_LATEX_FIT = r"""\providecommand{\olivinefit}[1]{%
  \sbox0{#1}%
  \ifdim\wd0>\linewidth \resizebox{\linewidth}{!}{\usebox0}\else \usebox0\fi}"""
# By a cell's mark, which is also its class in `style.css`.
_LATEX_COMMANDS = {
    "best": "textbf:--rwrap;", "second": "underline:--rwrap;", "missing": "emph:--rwrap;", "": "",
}  # fmt: skip
_MARKDOWN_MARKUP = re.compile(r"[|*]")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def html(layout: Layout) -> str:
    """Return a page in one file."""
    return render("table.html.j2", title=layout.title, table=html_parts(layout))


def html_parts(layout: Layout) -> dict[str, Any]:
    """Return the values that `parts.html.j2` needs to show a table on a page."""
    scores, differences = (
        table
        and html_table(
            _texts(table), table.header, text_columns=table.text_columns, classes=_marks(table)
        )
        for table in (layout.scores, layout.differences)
    )
    return {"layout": layout, "scores": scores, "differences": differences, "note": PRINT_NOTE}


def latex(layout: Layout) -> str:
    """Return a float with the tables and their remarks, the sources as comments.

    It is included by \\input and needs `LATEX_PACKAGES`.
    """
    return "\n".join(_latex_lines(layout)) + "\n"


def markdown(layout: Layout) -> str:
    """Return a page whose columns are also aligned as plain text."""
    return "\n\n".join(_markdown_parts(layout)) + "\n"


def long_format(table: Table) -> pd.DataFrame:
    """Return a line per cell with `CSV_COLUMNS`, unrounded; method is the row's label."""
    lines = [_csv_line(cell, table) for cell in table.cells.values()]
    return pd.DataFrame(lines, columns=list(CSV_COLUMNS))


def csv(table: Table) -> str:
    """Return the lines of `long_format` as text; fields without a value are empty."""
    return long_format(table).to_csv(index=False)


def _texts(table: TextTable) -> pd.DataFrame:
    lines = [[cell.text for cell in line] for line in table.lines]
    return pd.DataFrame(lines, columns=range(len(table.header)))


def _marks(table: TextTable) -> pd.DataFrame:
    """Return for every cell whether it is best, second or missing, or an empty text."""
    lines = [[_mark(cell) for cell in line] for line in table.lines]
    return pd.DataFrame(lines, columns=range(len(table.header)))


def _mark(cell: TextCell) -> str:
    marks = {"best": cell.is_best, "second": cell.is_second, "missing": cell.is_missing}
    return next((name for name, is_so in marks.items() if is_so), "")


def _latex_lines(layout: Layout) -> Iterator[str]:
    yield f"% {' '.join(layout.title.split())}"
    yield f"% needs \\usepackage{{{','.join(LATEX_PACKAGES)}}}"
    yield _LATEX_FIT
    yield r"\begin{table}"
    yield r"\centering"
    caption = f"{_sentence(layout.title)} {' '.join(layout.remarks)}"
    yield rf"\caption{{{escape_latex(caption)}}}"
    yield r"\par\smallskip"
    yield _latex_tabular(layout.scores)
    if layout.differences is not None:
        yield r"\par\medskip"
        yield _latex_tabular(layout.differences)
        remarks = escape_latex(" ".join(layout.difference_remarks))
        yield rf"\par\smallskip{{\footnotesize\raggedright {remarks}\par}}"
    yield r"\end{table}"
    for heading, items in ((PRINT_NOTE, layout.sources), ("Missing:", layout.missing)):
        if items:
            yield f"% {heading}"
            yield from (f"% - {' '.join(item.split())}" for item in items)


def _latex_tabular(table: TextTable) -> str:
    first, *others = map(escape_latex, table.header)
    cells = _texts(table).map(escape_latex)
    cells[0] = cells[0].map(_guarded)
    styler = with_header(cells.style.hide(axis="index"), [_guarded(first), *others])
    styler = styler.apply(lambda _: _marks(table).map(_LATEX_COMMANDS.__getitem__), axis=None)
    sides = "".join("l" if i in table.text_columns else "r" for i in range(len(table.header)))
    with whole_tables():
        tabular = styler.to_latex(hrules=True, column_format=sides)
    return rf"\olivinefit{{{tabular.strip()}}}"


def _guarded(text: str) -> str:
    """Guard the beginning of a line, where LaTeX reads "[" as the distance to the last line."""
    return f"{{{text}}}" if text.startswith("[") else text


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _markdown_parts(layout: Layout) -> Iterator[str]:
    first, *others = map(_markdown_visible, layout.remarks)
    yield f"# {_markdown_visible(layout.title)}"
    yield first
    yield _markdown_table(layout.scores)
    yield from others
    if layout.differences is not None:
        yield _markdown_table(layout.differences)
        yield from map(_markdown_visible, layout.difference_remarks)
    if layout.sources:
        yield PRINT_NOTE
        yield _markdown_items(layout.sources)
    if layout.missing:
        yield "Missing:"
        yield _markdown_items(layout.missing)


def _markdown_table(table: TextTable) -> str:
    lines = [[_markdown_escaped(text) for text in table.header]]
    lines += [[_markdown_marked(cell) for cell in line] for line in table.lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_markdown_line(line, widths) for line in lines)


def _markdown_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def _markdown_marked(cell: TextCell) -> str:
    escaped = _markdown_escaped(cell.text)
    if cell.is_best:
        return f"**{escaped}**"
    return f"<ins>{escaped}</ins>" if cell.is_second else escaped


def _markdown_escaped(text: str) -> str:
    return _MARKDOWN_MARKUP.sub(r"\\\g<0>", _TAG.sub("&lt;", text))


def _markdown_items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_markdown_visible(line)}" for line in lines)


def _markdown_visible(text: str) -> str:
    """Return text in which nothing but `code` is markup."""
    return "".join(
        f"`{part}`" if is_code else _TAG.sub("&lt;", part) for part, is_code in code_parts(text)
    )


def _csv_line(cell: Cell, table: Table) -> dict[str, object]:
    line: dict[str, object] = {
        "method": cell.row,
        "metric": cell.metric,
        "mean": cell.mean,
        "std": cell.std,
        "n": cell.n,
        "column": cell.column,
        "rank": cell.rank or None,
        "missing": cell.missing,
        "not_reusable": cell.num_not_reusable,
        "overlap": cell.overlap,
    }
    if (family := table.family(cell.column, cell.metric)) is not None:
        line["num_in_family"] = family.num_tests
        line["family"] = family_text(family, table.spec.baseline)
        line["smallest_difference"] = family.smallest
    line["notes"] = " ".join(table.notes)
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
        "test": compared.test,
        "p": compared.seeds.p,
        "p_holm": compared.p_corrected if compared.correction == "holm" else math.nan,
        "p_corrected": compared.p_corrected,
        "correction": compared.correction,
        "smallest_difference": compared.smallest,
        "scenes_low": low,
        "scenes_high": high,
        "no_scenes": compared.no_scenes,
        "verdict": compared.verdict,
        "published_difference": in_print.value if in_print else math.nan,
    }
