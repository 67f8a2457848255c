"""Checks of the arguments of functions that users call, which raise UserError."""

from collections.abc import Iterable, Mapping
from typing import Any

from olivine.core.errors import UserError

_SHOWN = (str, bool, int, float, type(None))  # types whose values are shown


def require_type(
    name: str, given: Any, allowed: type | tuple[type, ...], wanted: str, advice: str = ""
) -> None:
    """Raise UserError that an argument takes `wanted`, unless it has one of the allowed types."""
    if not isinstance(given, allowed):
        raise UserError(f"{name} takes {wanted}; it was given {shown(given)}.{advice}")


def several(name: str, given: Any, allowed: type, wanted: str) -> tuple[Any, ...]:
    """Return the values of a list; one text stands for a list of itself alone.

    Raises UserError for what is no list, and for a value of another type than the allowed one.
    """
    if allowed is str and isinstance(given, str):
        return (given,)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise UserError(f"{name} takes a list of {wanted}; it was given {shown(given)}.")
    values = tuple(given)
    for value in values:
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise UserError(f"{name} takes a list of {wanted}; one of it is {shown(value)}.")
    return values


def shown(given: Any) -> str:
    """Return a value as a message shows it: a plain one itself, of others the type."""
    return repr(given) if isinstance(given, _SHOWN) else f"a value of type {type(given).__name__}"
