"""Pieces of a page: texts, tables and pictures as HTML that needs no other file."""

import base64
import html
import io
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

JPEG_QUALITY, JPEG_WIDTH_PX = 80, 1100  # of photographs; the PNG files beside a page are whole
NOTHING = "–"


def percent(share: float) -> str:
    """Write a share of 0 to 1 as people read it."""
    return NOTHING if math.isnan(share) else f"{100 * share:.1f} %"


def words(name: str) -> str:
    """Write a class's name as people do; a name in capitals is a sensor's and stays."""
    return name if name.isupper() else name.replace("_", " ")


def safe(text: object) -> str:
    """Return text as HTML that shows it."""
    return html.escape(str(text))


def html_page(title: str, style: Path, body: str) -> str:
    """Return a page in one file; `style` is a CSS file that goes into it."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>\n{style.read_text()}</style></head>\n<body>\n"
        f"{body}\n</body></html>\n"
    )


def html_table(table: pd.DataFrame, headers: Mapping[str, str]) -> str:
    """Return the columns of `headers` as HTML, without those that hold no value."""
    columns = [name for name in headers if table[name].notna().any()]
    is_text = {name: not pd.api.types.is_numeric_dtype(table[name]) for name in columns}
    head = "".join(_cell("th", headers[name], is_text[name]) for name in columns)
    lines = [
        "".join(_cell("td", _value(line[name]), is_text[name]) for name in columns)
        for line in table[columns].to_dict("records")
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def html_image(data: bytes, kind: str, text: str) -> str:
    """Return a picture that lies within the page; `kind` is png or jpeg."""
    code = base64.b64encode(data).decode()
    return f'<img alt="{safe(text)}" src="data:image/{kind};base64,{code}">'


def as_jpeg(path: Path) -> bytes:
    """Return a picture small enough for a page on a phone; as PNG it is ten times as large."""
    stream = io.BytesIO()
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((JPEG_WIDTH_PX, 10 * JPEG_WIDTH_PX))
    small.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return stream.getvalue()


def _cell(tag: str, text: str, is_text: bool) -> str:
    kind = ' class="text"' if is_text else ""
    return f"<{tag}{kind}>{safe(text)}</{tag}>"


def _value(value: object) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return NOTHING
        return f"{value:.2f}" if 0 < value < 0.1 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else words(str(value))
