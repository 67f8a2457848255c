"""Parts: replaceable pieces of a family, chosen by their kind.

A kind is a name that the family's table lists, a name that an installed package offers by an entry
point of the group `olivine.<family>`, `package.module:Class`, or `./file.py:Class`. The kind in
stored settings can always be resolved: a class that neither table nor entry point names has the
kind `package.module:Class`, and a class of a file has `file.py:Class@<hash>` (docs/extending.md).
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import isabstract, isclass
from typing import Any, ClassVar

from pydantic import model_serializer, model_validator

from olivine.core.errors import UserError, nearest
from olivine.core.plugins.code_hash import code_hash, counts_as_code, defined_elsewhere, is_ours
from olivine.core.plugins.entry_points import load_offer, names_in, offer_of, offers
from olivine.core.plugins.file_modules import file_of_module
from olivine.core.plugins.targets import Target, names_a_file, parse_target
from olivine.core.spec import _WITHOUT_PLACES, Spec

CODE = "@code"  # in a fingerprint: hash of the code of a user's part
_USERS_PACKAGES: set[str] = set()  # top-level modules in which this process met a user's part


class Part(Spec):
    """Settings that build one replaceable piece: a loss, a sampler, a backbone.

    A family is a subclass that names `family` and lists its members in `built_in`; a member names
    its `kind`. The file of a member does not matter. Increase `code_version` when a change of the
    code changes results; version 1 is in no fingerprint. `places` names the settings that are paths
    on one machine, or select the software that computes there: they change no result, so no
    fingerprint contains them. The fingerprint of a user's part also contains a hash of its code.
    """

    family: ClassVar[str]
    built_in: ClassVar[Mapping[str, str]] = {}  # of a family: kind -> "module:Class"
    kind: ClassVar[str]
    code_version: ClassVar[int] = 1
    places: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        """Give a user's class the kind by which it is found again."""
        super().__pydantic_init_subclass__(**settings)
        if not is_ours(cls.__module__) and hasattr(cls, "family"):
            cls.kind = _kind_of(cls)
            _USERS_PACKAGES.add(cls.__module__.partition(".")[0])

    @model_serializer(mode="wrap")
    def _write(self, write: Any, info: Any) -> dict[str, Any]:
        if "<locals>" in self.kind or self.kind.startswith("__main__:"):
            raise UserError(
                f"{self.kind} is defined where no other process can find it: put the class into a "
                "file of its own and import it, or name it as ./file.py:Class."
            )
        settings: dict[str, Any] = {"kind": self.kind, **super()._write(write, info)}
        if info.context != _WITHOUT_PLACES:
            return settings
        if self.code_version != 1:
            settings["code_version"] = self.code_version
        if code := part_code(type(self)):
            settings[CODE] = code
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


@dataclass(frozen=True)
class Member:
    """One kind of a family: the location of its class, and the package that offers it."""

    kind: str
    target: str  # "package.module:Class"
    package: str = ""  # name and version of an installed package; empty: built in


def is_user_code(module: str) -> bool:
    """Return whether a module lies in a package or a file that has defined a user's part."""
    if file_of_module(module):
        return True
    return not is_ours(module) and module.partition(".")[0] in _USERS_PACKAGES


def family_of(cls: type[Part]) -> type[Part]:
    """Return the family of a member; a family is its own family."""
    return next(base for base in cls.__mro__ if "family" in vars(base))


def kinds(family: type[Part]) -> list[str]:
    """Return every named kind of a family: built in, or offered by a package.

    Raises UserError if two parts have one name.
    """
    return [member.kind for member in members(family)]


def members(family: type[Part]) -> list[Member]:
    """Return every named kind of a family, by name; nothing is imported.

    Raises UserError if two parts have one name.
    """
    family = family_of(family)
    group, ours = _group(family), family.built_in
    found = [Member(kind, target) for kind, target in ours.items()]
    for name in names_in(group, ours, _one_of(family)):
        (offer,) = offers(group)[name]
        found.append(Member(name, offer.value, offer.package))
    return sorted(found, key=lambda member: member.kind)


def part_class(family: type[Part], kind: Any) -> type[Part]:
    """Return the member of a family that has this kind, importing only its module.

    Raises UserError for a kind that the family does not have, for code that cannot be imported and
    for a class of another family.
    """
    family = family_of(family)
    if not isinstance(kind, str):
        raise UserError(_no_text(family, kind))
    if kind in family.built_in:
        module, _, name = family.built_in[kind].partition(":")
        part: type[Part] = getattr(importlib.import_module(module), name)
        assert part.kind == kind, f"{module}:{name} calls itself {part.kind!r}, and is {kind!r}"
        return part
    what = _one_of(family)
    if target := parse_target(kind):
        named = target.load_module()
        part = _member(family, target.object_in(named, what), repr(kind))
        _check_place(part, target, named.__name__)
        return part
    if offer := offer_of(_group(family), kind, what):
        part = _member(family, load_offer(offer, f"The part of {family.family}"), str(offer))
        if part.kind != kind and not _is_offered_as(part.kind, offer.value, family):
            raise UserError(
                f"The entry point {kind!r} of {_group(family)} gives {offer}, whose class has "
                f"the kind {part.kind!r}: give both one name."
            )
        return part
    raise UserError(_unknown(family, kind))


def part_code(cls: type[Part]) -> str:
    """Return 12 hex digits of the code of a user's part and of its bases; "" for our parts.

    Raises UserError for a class whose code cannot be found.
    """
    modules = [base.__module__ for base in cls.__mro__ if issubclass(base, Part)]
    if all(map(is_ours, modules)):
        return ""
    others = {base.__module__ for base in cls.__mro__ if not issubclass(base, Part)}
    return code_hash([*modules, *filter(counts_as_code, others)])


def parts_of(value: Any) -> Iterator[Part]:
    """Yield every part within settings, or within lists and mappings of settings."""
    if isinstance(value, Part):
        yield value
    if isinstance(value, Spec):
        value = dict(value)
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for inner in value:
        yield from parts_of(inner)


def _group(family: type[Part]) -> str:
    return f"olivine.{family.family}"


def _one_of(family: type[Part]) -> str:
    return f"one of {family.family}"


def _unknown(family: type[Part], kind: str) -> str:
    if names_a_file(kind):
        return f"{kind!r} names a file: name its class too, as {kind}:MyClass."
    names = sorted({*family.built_in, *offers(_group(family))})
    return (
        f"No {kind!r} in {family.family}.{nearest(kind, names)} There are: {', '.join(names)}; "
        "a class of your own is named as ./file.py:Class or package.module:Class."
    )


def _no_text(family: type[Part], kind: Any) -> str:
    if kind is None:
        return (
            f"The kind of {_one_of(family)} is empty: it takes a name, ./file.py:Class or "
            "package.module:Class."
        )
    given = repr(kind)
    if isinstance(kind, Mapping) and len(kind) == 1:  # as YAML reads "file.py:" and "a: b"
        name, value = next(iter(kind.items()))
        given = repr(f"{name}:" if value is None else f"{name}: {value}")
    return (
        f"The kind {given} is read as {type(kind).__name__}, and the kind of {_one_of(family)} is "
        "a text: its name, ./file.py:Class or package.module:Class, in quotes if YAML reads it "
        "otherwise."
    )


def _kind_of(cls: type[Part]) -> str:
    """Return the kind of a user's class: by an entry point, or by its location.

    A class with a `kind` keeps it if an entry point of its package has that name; a class without
    one has the first name whose entry point points to it. A name of ours, or of two packages, is
    not taken. The kind of its base class does not matter.
    """
    where = f"{cls.__module__}:{cls.__qualname__}"
    if found := file_of_module(cls.__module__):
        code, file = found
        return f"{file}:{cls.__qualname__}@{code}"
    own, family = vars(cls).get("kind"), family_of(cls)
    for name, found_offers in offers(_group(family)).items():
        if name in family.built_in or len(found_offers) > 1:
            continue  # the name means another class, or no one could tell which
        (offer,) = found_offers
        same_package = _top(offer.value) == _top(where)
        if (own == name and same_package) or (own is None and offer.value == where):
            return name
    return where


def _is_offered_as(kind: str, value: str, family: type[Part]) -> bool:
    """Return whether an object is also offered by another name, which is the one that is stored."""
    return any(offer.value == value for offer in offers(_group(family)).get(kind, ()))


def _top(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def _check_place(part: type[Part], target: Target, named: str) -> None:
    """Raise UserError if a class is of other code than was named, which would count for nothing."""
    if not defined_elsewhere(part.__module__, named):
        return
    where = part.kind
    if found := file_of_module(part.__module__):
        folder = f"{target.file.rpartition('/')[0] or '.'}/" if target.file else ""
        where = f"{folder}{found[1]}:{part.__qualname__}"
    raise UserError(
        f"{target.text!r} names a class that is defined elsewhere, so its own code would count for "
        f"nothing: name the class where it is defined, {where!r}, or derive one from it."
    )


def _member(family: type[Part], found: Any, shown: str) -> type[Part]:
    """Return a class if it is a member of the family; raise UserError otherwise."""
    wanted = f"a subclass of {family.__module__}.{family.__name__}"
    if not (isclass(found) and issubclass(found, Part)):
        what = (
            f"the class {found.__name__}" if isclass(found) else f"of type {type(found).__name__}"
        )
        raise UserError(f"{shown} is {what}, and {_one_of(family)} is {wanted}.")
    if family_of(found) is not family:
        other = family_of(found).family
        raise UserError(f"{shown} is one of {other}, and {_one_of(family)} is needed: {wanted}.")
    if isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise UserError(f"{shown} is not complete: it lacks {lacking}.")
    return found
