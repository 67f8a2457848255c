"""Parts: replaceable pieces of a family, chosen by their kind."""

import importlib
from collections.abc import Mapping
from inspect import isabstract
from typing import Any, ClassVar

from pydantic import model_serializer, model_validator

from olivine.core.errors import UserError, nearest
from olivine.core.spec import _WITHOUT_PLACES, Spec


class Part(Spec):
    """Settings that build one replaceable piece: a loss, a sampler, a backbone.

    A family is a subclass that names `family` and lists its members in `built_in`; a member names
    its `kind`. Where a file lies decides nothing. `code_version` is raised by a change of code
    that changes results; version 1 is in no fingerprint. `places` names the settings that say
    where something lies on one machine, or who computes it there: they decide no result, so no
    fingerprint has them.
    """

    family: ClassVar[str]
    built_in: ClassVar[Mapping[str, str]] = {}  # of a family: kind -> "module:Class"
    kind: ClassVar[str]
    code_version: ClassVar[int] = 1
    places: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _write_kind(self, write: Any, info: Any) -> dict[str, Any]:
        settings: dict[str, Any] = {"kind": self.kind, **write(self)}
        if info.context != _WITHOUT_PLACES:
            return settings
        if self.code_version != 1:
            settings["code_version"] = self.code_version
        return {name: value for name, value in settings.items() if name not in self.places}

    @model_validator(mode="wrap")
    @classmethod
    def _read_kind(cls, value: Any, read: Any) -> Any:
        if not (isinstance(value, Mapping) and "kind" in value):
            if isinstance(value, Mapping) and isabstract(cls):  # a family, no member
                raise ValueError(f"is a part: name its kind, one of {', '.join(kinds(cls))}")
            return read(value)
        settings = dict(value)
        return part_class(cls, settings.pop("kind"))(**settings)


def family_of(cls: type[Part]) -> type[Part]:
    """Return the family that a member belongs to; a family's is itself."""
    return next(base for base in cls.__mro__ if "family" in vars(base))


def kinds(family: type[Part]) -> list[str]:
    """Return every kind of a family."""
    return sorted(family_of(family).built_in)


def part_class(family: type[Part], kind: str) -> type[Part]:
    """Return the member of a family that has this kind, importing only its module.

    Raises UserError for a kind that the family does not have.
    """
    family = family_of(family)
    if kind not in family.built_in:
        raise UserError(
            f"No {kind!r} in {family.family}.{nearest(str(kind), kinds(family))} "
            f"There are: {', '.join(kinds(family))}."
        )
    module, _, name = family.built_in[kind].partition(":")
    part: type[Part] = getattr(importlib.import_module(module), name)
    assert part.kind == kind, f"{module}:{name} calls itself {part.kind!r}, and is {kind!r}"
    return part
