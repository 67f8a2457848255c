"""Pages in one HTML file each: templates filled in, tables, pictures and charts.

Templates lie in `templates/` and escape every text that they are given, so what a person has typed
is shown and never obeyed. A page needs no other file and no network.
"""

import base64
import functools
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape
from PIL import Image

from olivine.results.words import class_words, code_parts, percent

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

TEMPLATES = Path(__file__).with_name("templates")
JPEG_QUALITY, JPEG_WIDTH_PX = 80, 1100  # of photographs; the PNG files beside a page are whole


def render(template: str, **values: Any) -> str:
    """Return a page; `values` are what its template names, and none may be missing."""
    return _environment().get_template(template).render(values)


def html_table(
    frame: pd.DataFrame,
    header: Sequence[str],
    *,
    text_columns: Collection[int] = (0,),
    write: Callable[[Any], str] = str,
    classes: pd.DataFrame | None = None,
) -> Markup:
    """Return a frame as a table that can be scrolled sideways, by the keyboard too.

    The first column says what a line is. `text_columns` are indices of columns that begin at their
    left, `write` gives the text of a value, `classes` those of `style.css` that cells have.
    """
    frame = frame.set_axis(range(len(header)), axis="columns").reset_index(drop=True)
    styler = _page_styler()(frame).hide(axis="index").format(write, escape="html")
    styler = styler.format(lambda text: breakable(write(text)), subset=[0])
    styler = with_header(styler, [breakable(name) for name in header])
    if classes is not None:
        styler = styler.set_td_classes(classes)
    with whole_tables():
        return Markup(styler.to_html(exclude_styles=True, text_columns=text_columns))


def with_header(styler: "Styler", texts: Sequence[str]) -> "Styler":
    """Return a styled frame, whose columns are numbered, under a header of these texts."""
    by_index: dict[object, str] = dict(enumerate(texts))
    return styler.format_index(by_index.__getitem__, axis="columns")


@contextmanager
def whole_tables() -> Iterator[None]:
    """Let pandas write tables of any size: it leaves out lines of large ones unless told."""
    with pd.option_context("styler.render.max_elements", 2**62):
        yield


def breakable(name: str) -> Markup:
    """Return a dotted name that may go on in the next line between its words."""
    end = Markup("<wbr>")
    return escape(name).replace(".", "." + end).replace("_", "_" + end)


def picture(data: bytes, kind: str, text: str) -> Markup:
    """Return a picture that lies within the page, with words for those who cannot see it.

    `kind` is png or jpeg, `text` says what it shows.
    """
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Markup('<img alt="{}" src="{}">').format(text, source)


def as_jpeg(path: Path) -> bytes:
    """Return a picture small enough for a page on a phone; as PNG it is ten times as large."""
    stream = io.BytesIO()
    with Image.open(path) as whole:
        small = whole.convert("RGB")
    small.thumbnail((JPEG_WIDTH_PX, 10 * JPEG_WIDTH_PX))
    small.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return stream.getvalue()


def with_code(sentence: str) -> Markup:
    """Return a sentence in which `code` between backticks is set as such."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if is_code else escape(part)
        for part, is_code in code_parts(sentence)
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "breakable": breakable, "class_words": class_words, "percent": percent,
        "with_code": with_code,
    }  # fmt: skip
    return environment


@functools.cache
def _page_styler() -> "type[Styler]":
    from pandas.io.formats.style import Styler

    return Styler.from_custom_template(str(TEMPLATES), html_table="styled_table.html.j2")
