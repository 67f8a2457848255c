"""Checks of the arguments of functions that users call, which raise UserError."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

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


def require_named_classes(values: Mapping[str, Any], made: type[BaseModel]) -> None:
    """Raise ValueError for a value of a class that is derived from the one that a setting names.

    `values` are those of the settings `made`. Parts, which have a family, are left out.
    """
    for name, value in values.items():
        values_in = value.values() if isinstance(value, Mapping) else value
        for inner in values_in if isinstance(value, Mapping | tuple) else (value,):
            given, annotation = type(inner), made.model_fields[name].annotation
            if not isinstance(inner, BaseModel) or hasattr(given, "family"):
                continue
            if given not in _classes_in(annotation):
                raise ValueError(
                    f"{name} takes the class {given.mro()[1].__name__} itself, not "
                    f"{given.__name__}, whose name and code are not stored with the settings"
                )


def _classes_in(annotation: Any) -> set[Any]:
    """Return every class that an annotation names."""
    return {annotation}.union(*(_classes_in(one) for one in get_args(annotation)))
