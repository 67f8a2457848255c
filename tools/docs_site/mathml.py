"""TeX to MathML when the site is built.

`pymdownx.arithmatex` marks `$…$` and `$$…$$`; MathJax and KaTeX would turn them into pictures of
symbols in the reader's browser, by scripts and fonts from the network. GitHub reads the same pages.
"""

import html
import re

from latex2mathml.converter import convert

MARKED = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
# TeX leaves a thin space between a function's name and what it is of; the converter does not.
FUNCTION = re.compile(r"(<mi>(?:exp|ln|log)</mi>)(?!<mo[^>]*>&#x00028;)")
# A bar and a slash stand close, as in TeX; MathML takes them for signs between two sides.
CLOSE = re.compile(r"<mo([^>]*)>(?=(?:&#x0007C;|&#x0002F;)</mo>)")
THIN_SPACE = '<mspace width="0.17em" />'


def replace_equations(page: str) -> str:
    """Return a page's HTML with every marked equation as MathML."""
    return MARKED.sub(_as_mathml, page)


def _as_mathml(marked: re.Match[str]) -> str:
    tag, tex = marked[1], html.unescape(marked[2]).strip()
    block = tag == "div"
    equation = convert(tex, display="block" if block else "inline")
    equation = FUNCTION.sub(r"\1" + THIN_SPACE, equation)
    equation = CLOSE.sub(r'<mo\1 lspace="0" rspace="0">', equation)
    return f'<div class="equation">{equation}</div>' if block else equation
