"""Errors that a user can correct, each one sentence."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A user's mistake; its text names the given value, the allowed ones and the remedy.

    The command line prints it and exits with status 2. It is raised for anything that a user can
    correct: a setting, a path, a broken file. Invariants of the code are `assert`s. It crosses
    process borders as text, so it takes exactly one argument.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed name most similar to `name`, or "".

    The case of letters does not matter, nor does the difference between - and _.
    """
    by_letters = {_letters(one): one for one in sorted(allowed)}
    near = difflib.get_close_matches(_letters(name), by_letters, n=1)
    return f" Did you mean {by_letters[near[0]]!r}?" if near else ""


def _letters(name: str) -> str:
    return name.casefold().replace("-", "_")
