"""A figure as SVG inside a page: text stays text, and what is black follows the page's colours."""

import io
import re

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from olivine.results.figures import LINES
from olivine.results.page_parts import safe

POINTS = 72.0  # per inch; a point of a figure is a pixel on a phone
WIDTH, LABEL_SIZE, TEXT_SIZE = 358.0, 10.5, 9.5  # points
NUM_NAMED = 5  # lines or points with their names beside them

# Drawn in these, written as the page's own colours, so that a figure is readable on dark paper.
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
POOR, GOOD = "#8d96a0", "#d55e00"  # both to be seen on white and on black
COLOURS = tuple(colour if colour != "#000000" else INK for colour in LINES)
_OF_PAGE = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
}
_SETTINGS = {"svg.fonttype": "none", "font.family": ["DejaVu Sans"], "path.simplify": True}


def inline_svg(figure: Figure, name: str, text: str) -> str:
    """Return a figure as an element of a page; `name` is unique on it, `text` says what it shows.

    The same figure gives the same bytes.
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(stream, metadata=nothing)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    for drawn, colour in _OF_PAGE.items():
        svg = svg.replace(drawn, colour)
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "system-ui, sans-serif", svg)
    # A hundredth of a point is not seen; six decimals are half of the page.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    # Names must differ between the figures of a page.
    svg = re.sub(r' id="[a-z_]+[0-9]*_[0-9]+"', "", svg)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    head = re.match(r'<svg [^>]*viewBox="([^"]+)"[^>]*>', svg)
    assert head, "matplotlib writes a viewBox"
    opening = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{head[1]}" role="img" '
        f'aria-label="{safe(text)}">'
    )
    return opening + svg[head.end() :].strip()


def sheet(height: float) -> tuple[Figure, Axes]:
    """Return a figure of that many points in height, all of it axes without lines or ticks."""
    figure = Figure(figsize=(WIDTH / POINTS, height / POINTS))
    figure.patch.set_visible(False)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.patch.set_visible(False)
    axis.set_axis_off()
    return figure, axis


def margins(
    axis: Axes, *, left: float, bottom: float, right: float = 6.0, top: float = 4.0
) -> None:
    """Leave so many points around the axes."""
    height = height_of(axis)
    size = (WIDTH - left - right) / WIDTH, (height - bottom - top) / height
    axis.set_position((left / WIDTH, bottom / height, *size))


def height_of(axis: Axes) -> float:
    """Return the height of the axes' figure in points."""
    return float(axis.figure.bbox.height / axis.figure.dpi * POINTS)


def plain(axis: Axes, xlabel: str, ylabel: str = "") -> None:
    """Draw two axes that carry numbers, and a faint grid."""
    axis.set_axis_on()
    axis.patch.set_visible(False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    axis.tick_params(labelsize=TEXT_SIZE, labelcolor=INK, color=MUTED)
    axis.set_xlabel(xlabel, fontsize=TEXT_SIZE, color=INK)
    axis.set_ylabel(ylabel, fontsize=TEXT_SIZE, color=INK)
    axis.grid(color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)


def short(text: str, length: int) -> str:
    """Cut a text to so many characters."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def short_name(name: str, length: int) -> str:
    """Cut a dotted name to so many characters; its end says most."""
    if len(name) <= length:
        return name
    parts = name.split(".")
    while len(parts) > 1 and len(".".join(parts)) >= length:
        parts.pop(0)
    return f"…{'.'.join(parts)[1 - length :]}"
