"""A table as Markdown that also lines up as plain text."""

import re
from collections.abc import Iterator, Sequence

from olivine.results.tables.text import Grid, Layout, Text

_MARKUP = re.compile(r"[|*]")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
PRINT_NOTE = (
    "Published numbers are the authors', at their scale and on their data, and are in no mean of "
    "ours (≈: not printed as such):"
)


def markdown(layout: Layout) -> str:
    """Return the whole page."""
    return "\n\n".join(_parts(layout)) + "\n"


def _parts(layout: Layout) -> Iterator[str]:
    yield f"# {layout.title}"
    yield from layout.remarks[:1]
    yield _grid(layout.scores)
    yield from layout.remarks[1:]
    if layout.differences is not None:
        yield _grid(layout.differences)
        yield from layout.difference_remarks
    if layout.sources:
        yield PRINT_NOTE
        yield _items(layout.sources)
    if layout.missing:
        yield "Missing:"
        yield _items(layout.missing)


def _grid(grid: Grid) -> str:
    lines = [[_escaped(text) for text in grid.header]]
    lines += [[_emphasised(text) for text in line] for line in grid.lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def _emphasised(text: Text) -> str:
    escaped = _escaped(text.text)
    if text.is_best:
        return f"**{escaped}**"
    return f"<ins>{escaped}</ins>" if text.is_second else escaped


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", _TAG.sub("&lt;", text))


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_visible(line)}" for line in lines)


def _visible(text: str) -> str:
    """Return text in which nothing but `code` is markup."""
    parts = text.split("`")
    return "`".join(p if place % 2 else _TAG.sub("&lt;", p) for place, p in enumerate(parts))
