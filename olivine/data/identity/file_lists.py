"""Lists of a split's files, kept with the results, so that a later start can name what changed.

<root>/data_files/<part>-<its hash>.tsv.gz    a line per file: its name, and its size or hash
"""

import gzip
from collections.abc import Iterable, Mapping

from olivine.core.storage import Store
from olivine.data.identity.split import MISSING, SplitIdentity

NOUNS = {"scans": ("scan", "scans"), "images": ("image", "images")}
LABELS = ("file of point labels", "files of point labels")


def keep_file_lists(store: Store, identity: SplitIdentity, parts: Iterable[str]) -> None:
    """Write the list of each part, unless it is there, or another process reads the files."""
    for part in parts:
        name = _name(part, identity.part(part))
        files = None if store.exists(name) else identity.files(part)
        if files:
            lines = (f"{file}\t{value}\n" for file, value in files.items())
            store.write(name, gzip.compress("".join(lines).encode(), 1, mtime=0))


def differences(store: Store, part: str, then: str, now: SplitIdentity) -> str:
    """Return how a part's files differ from those of an earlier hash of it.

    Without both lists the text says no more than that they differ.
    """
    before = _read(store, _name(part, then)) if then else None
    after = now.files(part)
    if before is None or after is None:
        return f"the {part.replace('_', ' ')} differ"
    gone = [n for n in before if n not in after or (after[n] == MISSING != before[n])]
    new = [n for n in after if n not in before or (before[n] == MISSING != after[n])]
    other = [n for n in after if n in before and before[n] != after[n] and n not in {*gone, *new}]
    of = "other contents" if part == "point_labels" else "another size"
    found = [
        _counted(part, gone, "is no longer there", "are no longer there"),
        _counted(part, new, "is new", "are new"),
        _counted(part, other, f"has {of}", f"have {of}", _sizes(part, other, before, after)),
    ]
    return ", ".join(filter(None, found)) or f"the {part.replace('_', ' ')} differ"


def _counted(part: str, names: list[str], one: str, several: str, more: str = "") -> str:
    if not names:
        return ""
    nouns = NOUNS.get(part, LABELS)
    count = f"1 {nouns[0]} {one}" if len(names) == 1 else f"{len(names)} {nouns[1]} {several}"
    return f"{count} ({'' if len(names) == 1 else 'the first is '}{names[0]}{more})"


def _sizes(part: str, names: list[str], before: Mapping[str, str], after: Mapping[str, str]) -> str:
    if not names or part == "point_labels":
        return ""
    return f", {before[names[0]]} bytes then and {after[names[0]]} now"


def _name(part: str, hashed: str) -> str:
    return f"data_files/{part}-{hashed}.tsv.gz"


def _read(store: Store, name: str) -> dict[str, str] | None:
    """Return a list, or None if it is missing or damaged."""
    if not store.exists(name):
        return None
    try:
        lines = gzip.decompress(store.read(name)).decode().splitlines()
        return dict(line.split("\t") for line in lines)
    except (OSError, EOFError, ValueError):
        return None
