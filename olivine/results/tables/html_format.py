"""A table as one HTML file that needs no other, readable on a phone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from olivine.results.page_parts import html_page, safe
from olivine.results.tables.markdown_format import PRINT_NOTE
from olivine.results.tables.text import Grid, Layout, Text

STYLE = Path(__file__).with_suffix(".css")


def html(layout: Layout) -> str:
    """Return the page."""
    body = f"<h1>{safe(layout.title)}</h1>\n{html_table_parts(layout)}"
    return html_page(layout.title, STYLE, body)


def html_table_parts(layout: Layout) -> str:
    """Return what stands below the heading, to be put into a page with `STYLE`."""
    return "\n".join(_parts(layout))


def _parts(layout: Layout) -> Iterator[str]:
    yield _grid(layout.scores)
    yield _paragraphs(layout.remarks)
    if layout.differences is not None:
        yield "<h2>Differences</h2>"
        yield _grid(layout.differences)
        yield _paragraphs(layout.difference_remarks)
    if layout.sources:
        yield f"<h2>In print</h2><p>{safe(PRINT_NOTE)}</p>{_items(layout.sources)}"
    if layout.missing:
        yield f"<h2>Missing</h2>{_items(layout.missing)}"


def _grid(grid: Grid) -> str:
    head = "".join(
        f"<th{_label(place, grid)}>{safe(text)}</th>" for place, text in enumerate(grid.header)
    )
    body = "\n".join(
        "<tr>" + "".join(_cell(text, place, grid) for place, text in enumerate(line)) + "</tr>"
        for line in grid.lines
    )
    # It can be scrolled sideways, by the keyboard too.
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(text: Text, place: int, grid: Grid) -> str:
    shown = safe(text.text)
    if text.is_best:
        shown = f"<b>{shown}</b>"
    elif text.is_second:
        shown = f"<u>{shown}</u>"
    elif text.is_missing:
        shown = f"<i>{shown}</i>"
    if place == 0:
        return f'<th scope="row">{shown}</th>'
    return f"<td{_label(place, grid)}>{shown}</td>"


def _label(place: int, grid: Grid) -> str:
    return ' class="text"' if grid.is_text(place) else ""


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{_with_code(text)}</p>" for text in sentences)


def _items(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_with_code(line)}</li>' for line in lines)}</ul>"


def _with_code(text: str) -> str:
    parts = safe(text).split("`")
    if len(parts) % 2 == 0:  # a lone one: no code
        return safe(text)
    return "".join(f"<code>{p}</code>" if place % 2 else p for place, p in enumerate(parts))
