"""Numbers and names as text, the same in tables, figures and pages."""

import math
from collections.abc import Iterable, Iterator

ABSENT = "–"  # the text of a missing value


NUM_NAMED = 12  # rows that a sentence names
MARK = "‡"  # after a score on scenes that the network learnt from


def marked(text: str, overlap: object) -> str:
    """Return a score's text, with the mark if the network learnt from scenes that it is of."""
    return f"{text}{MARK}" if overlap else text


def overlap_remark(overlaps: Iterable[str], rows: Iterable[str] = ()) -> str:
    """Return the sentence that explains the mark; `rows` are the names of what has it."""
    names = [f"`{row}`" for row in rows]
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    whose = ", ".join(names[:NUM_NAMED]) + more
    found = "; ".join(dict.fromkeys(overlaps))
    return (
        f"{MARK} Not a fair score, as the network learnt from scenes on which it is scored. "
        f"{f'{whose}: ' if whose else ''}{found}."
    )


def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent."""
    return ABSENT if math.isnan(share) else f"{100 * share:.1f} %"


def class_words(name: str) -> str:
    """Return a class's name in words; a name in capitals is a sensor's and is not changed."""
    return name if name.isupper() else name.replace("_", " ")


def short(text: str, length: int) -> str:
    """Return the beginning of a text, at most `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def short_name(name: str, length: int) -> str:
    """Return the end of a dotted name, at most `length` characters."""
    if len(name) <= length:
        return name
    parts = name.split(".")
    while len(parts) > 1 and len(".".join(parts)) >= length:
        parts.pop(0)
    return f"…{'.'.join(parts)[1 - length :]}"


def code_parts(sentence: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a sentence and whether each is `code`, set between backticks."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:  # a single backtick is text
        parts = [sentence]
    for index, part in enumerate(parts):
        yield part, index % 2 == 1
