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

    Names are compared without their case: MinkUnet is like minkunet.
    """
    by_folded = {one.casefold(): one for one in sorted(allowed, reverse=True)}
    near = difflib.get_close_matches(name.casefold(), sorted(by_folded), n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
