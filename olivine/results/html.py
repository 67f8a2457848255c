"""HTML pages of one file each, from templates, tables, pictures and charts.

Templates are in `templates/` and escape every text, so that text from users is displayed and never
interpreted. A page needs no other file and no network.
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
JPEG_QUALITY, JPEG_WIDTH_PX = 80, 1100  # of photographs within a page


def render(template: str, **values: Any) -> str:
    """Return a page; `values` must have every name of its template."""
    return _environment().get_template(template).render(values)


def html_table(
    frame: pd.DataFrame,
    header: Sequence[str],
    *,
    text_columns: Collection[int] = (0,),
    write: Callable[[Any], str] = str,
    classes: pd.DataFrame | None = None,
) -> Markup:
    """Return a frame as a table that scrolls sideways, also by keyboard.

    The first column holds the names of the lines. `text_columns` are indices of left-aligned
    columns, `write` returns the text of a value, `classes` are the cells' classes of `style.css`.
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
    """Let pandas write tables of any size within the block; by default it truncates large ones."""
    with pd.option_context("styler.render.max_elements", 2**62):
        yield


def breakable(name: str) -> Markup:
    """Return a dotted name that may be broken into lines between its words."""
    end = Markup("<wbr>")
    return escape(name).replace(".", "." + end).replace("_", "_" + end)


def picture(data: bytes, kind: str, text: str) -> Markup:
    """Return a picture embedded in the page, with an alternative text.

    `kind` is png or jpeg, `text` describes the picture.
    """
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Markup('<img alt="{}" src="{}">').format(text, source)


def as_jpeg(path: Path) -> bytes:
    """Return a picture as JPEG, small enough for a phone; a PNG would be ten times as large."""
    stream = io.BytesIO()
    with Image.open(path) as whole:
        small = whole.convert("RGB")
    small.thumbnail((JPEG_WIDTH_PX, 10 * JPEG_WIDTH_PX))
    small.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return stream.getvalue()


def with_code(sentence: str) -> Markup:
    """Return a sentence with `code` between backticks as an HTML element."""
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
