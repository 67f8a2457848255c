"""Pieces of a sweep's page: figures, tables of texts, commands."""

from collections.abc import Iterable, Sequence

from olivine.results.page_parts import safe

LONG = 20  # characters of a text that goes on in the next line


def command(name: str, text: str) -> str:
    """Return shell under the name of what it runs."""
    return f'<h3>{safe(name)}</h3><pre tabindex="0">{safe(text)}</pre>'


def code(text: str) -> str:
    """Return a word as it is typed."""
    return f"<code>{safe(text)}</code>"


def figure(svg: str, caption: str, title: str = "") -> str:
    """Return a figure with its caption, and a heading if it has one."""
    heading = f"<h3>{safe(title)}</h3>" if title else ""
    return f"<figure>{heading}{svg}<figcaption>{safe(caption)}</figcaption></figure>"


def table_of(
    header: Sequence[str], lines: Iterable[Sequence[str]], words: Iterable[int] = ()
) -> str:
    """Return a table of texts; the columns `words` are no numbers, the first says what a line is.

    It can be scrolled sideways, by the keyboard too.
    """
    left_aligned = {0, *words}
    head = "".join(
        f"<th{_side(place in left_aligned)}>{_broken(text)}</th>"
        for place, text in enumerate(header)
    )
    body = "\n".join(
        f'<tr><th scope="row">{_broken(line[0])}</th>'
        + "".join(
            f"<td{_side(place in left_aligned, len(text) > LONG)}>{safe(text)}</td>"
            for place, text in enumerate(line[1:], start=1)
        )
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _side(is_left: bool, is_long: bool = False) -> str:
    if not is_left:
        return ""
    return ' class="text long"' if is_long else ' class="text"'


def _broken(name: str) -> str:
    """Let a dotted name go on in the next line, between its words."""
    return safe(name).replace(".", ".<wbr>").replace("_", "_<wbr>")
