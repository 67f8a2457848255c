"""Mistakes of a user, told in one sentence."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What was given, what is allowed and what to do; the command line prints it and exits 2.

    Raised for anything a user can mend: a setting, a path, a broken file. Our own invariants are
    `assert`s. It crosses process borders as text, so it takes exactly one argument.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed name most like `name`, or nothing.

    Upper and lower case, and - and _, are alike.
    """
    by_letters = {_letters(one): one for one in sorted(allowed)}
    near = difflib.get_close_matches(_letters(name), by_letters, n=1)
    return f" Did you mean {by_letters[near[0]]!r}?" if near else ""


def _letters(name: str) -> str:
    return name.casefold().replace("-", "_")
