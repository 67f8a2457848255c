"""Settings as frozen values: one dotted name per setting, one fingerprint per value.

A `Spec` holds settings alone. A `Part` is a Spec that builds one replaceable piece (a loss, a
sampler, a backbone) and is chosen from its family by its *kind*.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator
from pydantic_core import PydanticSerializationError

from olivine.core.arguments import require_named_classes
from olivine.core.errors import UserError, nearest
from olivine.core.hashing import value_hash

SpecT = TypeVar("SpecT", bound="Spec")

_WITHOUT_PLACES = "without places"
LARGEST = 2**63 - 1  # whole number in a setting
MOST_SHOWN = 80  # characters of a value that a message repeats
_INSIDE = ContextVar("_INSIDE", default=False)  # whether settings are being validated


class Spec(BaseModel):
    """Frozen settings, given by name; a wrong one raises UserError that names it.

    `added` holds the settings that a later version added, each with the value that means what
    earlier versions did. With that value a setting is in no fingerprint, so runs of those versions
    are found again.
    """

    added: ClassVar[Mapping[str, Any]] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers derive the arguments from the fields

        def __init__(self, /, **settings: Any) -> None:
            if _INSIDE.get():  # the outer settings give an error its whole dotted name
                super().__init__(**settings)
                return
            inside = _INSIDE.set(True)
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise UserError(explain_invalid(error, type(self))) from None
            finally:
                _INSIDE.reset(inside)

        __init__.__pydantic_base_init__ = True  # validation makes inner settings without it

    @model_serializer(mode="wrap")
    def _write(self, write: Any, info: Any) -> dict[str, Any]:
        """Return the settings as plain values; for a fingerprint, without those of no effect."""
        settings: dict[str, Any] = write(self)
        if info.context != _WITHOUT_PLACES:
            return settings
        return {
            name: value
            for name, value in settings.items()
            if not (name in self.added and getattr(self, name) == self.added[name])
        }

    @model_validator(mode="after")
    def _numbers_fit(self: SpecT) -> SpecT:
        """Refuse whole numbers that no array, loop or seed of the libraries below can hold."""
        for name, value in self:
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int) and abs(number) > LARGEST:
                    raise ValueError(f"{name} must be at most 2^63 - 1 in size")
        return self

    @model_validator(mode="after")
    def _classes_can_be_read_again(self: SpecT) -> SpecT:
        """Refuse an object of a derived class, which stored settings could not tell from its base.

        A part is found again by its kind.
        """
        require_named_classes(dict(self), type(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; parts include their kind."""
        return self._written(None)

    @classmethod
    def from_dict(cls: type[SpecT], tree: Mapping[str, Any], *, within: str = "") -> SpecT:
        """Return the value of a mapping; raise UserError that names the wrong setting.

        `within` is the setting whose settings these are, for the name in an error.
        """
        inside = _INSIDE.set(True)
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise UserError(explain_invalid(error, within=within)) from None
        finally:
            _INSIDE.reset(inside)

    def fingerprint_fields(self) -> dict[str, Any]:
        """Return `to_dict` without the parts' `places`; equal values give equal results."""
        return self._written(_WITHOUT_PLACES)

    def _written(self, context: str | None) -> dict[str, Any]:
        try:
            return self.model_dump(mode="json", serialize_as_any=True, context=context)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, UserError):  # of a part that cannot be stored
                raise error.__cause__ from None
            raise

    def fingerprint(self) -> str:
        """Return 12 hex digits that depend on every setting except `places`."""
        return value_hash(self.fingerprint_fields())

    def added_settings(self) -> dict[str, Any]:
        """Return every setting that a later version added, as `override` gets earlier ones' back.

        See `added`.
        """
        return dict(_added(self, ""))

    def flatten(self) -> dict[str, Any]:
        """Return every setting under its dotted name, as `override` takes it."""
        return dict(_leaves(self.to_dict(), ""))

    def setting_texts(self) -> dict[str, str]:
        """Return every setting as a text that `--set` reads, in the form that runs store."""
        return {name: setting_text(value) for name, value in self.flatten().items()}

    def override(self: SpecT, settings: Mapping[str, Any]) -> SpecT:
        """Return a copy with dotted names set, such as {"terms.class.weight": 0.5}.

        Setting a part's `kind` resets the part to that kind's defaults. Kinds are therefore set
        first, and a part's kind before those of the parts in it. Raises UserError that names the
        wrong setting.
        """
        tree = self.to_dict()
        kinds_first = [name for name in settings if name.endswith(".kind")]
        if kinds_first:
            for name in sorted(kinds_first, key=lambda name: name.count(".")):
                _assign(tree, name, settings[name])
            # Fill in the new parts' defaults, so that their settings have names.
            tree = type(self).from_dict(tree).to_dict()
        for name, value in settings.items():
            if name in kinds_first:
                continue
            _assign(tree, name, value.to_dict() if isinstance(value, Spec) else value)
        return type(self).from_dict(tree)

    def replace(self: SpecT, **changes: Any) -> SpecT:
        """Return a copy with some settings changed, as `dataclasses.replace` does.

        Names and values are checked as for a new value; raises UserError that names the wrong
        setting. Use it in Python; `override` is for the dotted names that a person types.
        """
        return type(self).from_dict({**dict(self), **changes})

    def to_yaml(self) -> str:
        """Return the settings as YAML that `read_yaml` reads."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Return {"a.b": value} for texts like "a.b=0.5".

    Values are YAML scalars, lists or maps. Raises UserError for a text of another form.
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UserError(f"--set takes name=value, for example seed=1; it was given {text!r}.")
        try:
            settings[name.strip()] = _number(_loaded(value))
        except ValueError:
            raise UserError(
                f"--set {name}: {_short(value)} is not a YAML value; quote it."
            ) from None
    return settings


def setting_text(value: Any) -> str:
    """Return a value as a text that `parse_settings` reads: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raise UserError if the file holds none."""
    try:
        tree = _loaded(Path(os.path.expanduser(path)).read_text())
    except OSError as error:
        raise UserError(f"Cannot read the settings file {path}: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold settings as name: value, not a {type(tree).__name__}.")
    return tree


def _loaded(text: str) -> Any:
    """Return the value of a YAML text; raise ValueError, with the reason, if it has none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("its lists or maps are nested too deeply") from None
    except Exception as error:  # `!!int x`, `2026-13-45`: PyYAML lets its converters' errors pass
        raise ValueError(f"a value does not fit its type ({error})") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…")


def _number(value: Any) -> Any:
    """Read 1e-4 as a number; YAML 1.1 wants 1.0e-4 and reads the short form as text."""
    if isinstance(value, str):
        try:
            return float(value) if value[:1] in "+-.0123456789" else value
        except ValueError:
            return value
    return value


def _leaves(node: Any, name: str) -> Iterable[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{name}.{key}" if name else key)
    else:
        yield name, node


def _added(node: Any, name: str) -> Iterable[tuple[str, Any]]:
    own = node.added if isinstance(node, Spec) else {}
    for key, value in node if isinstance(node, Spec) else node.items():
        where = f"{name}.{key}" if name else key
        if key in own:
            yield where, own[key]
        elif isinstance(value, Spec | dict):
            yield from _added(value, where)


def _assign(tree: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".")
    node: Any = tree
    if leaf == "kind":  # sets the part itself, which may be None
        _replace_part(tree, parents, name, value)
        return
    for depth, key in enumerate([*parents, leaf]):
        if not isinstance(node, dict):
            raise UserError(
                f"No setting {name!r}: {'.'.join(name.split('.')[:depth])!r} is {node!r} "
                "and has no settings of its own."
            )
        if key not in node:
            if not node:
                parent = ".".join(name.split(".")[:depth])
                raise UserError(f"No setting {name!r}: {parent!r} has no settings.")
            raise UserError(
                f"No setting {name!r}: {key!r} is not one of {', '.join(sorted(node))}."
                f"{nearest(key, node)}"
            )
        if depth < len(parents):
            node = node[key]
    node[leaf] = value


def _replace_part(tree: dict[str, Any], path: list[str], name: str, kind: Any) -> None:
    if kind is None or kind == "":
        raise UserError(f"Setting {name!r} is empty: it takes the name of a kind.")
    node: Any = tree
    parent: Any = None
    for key in path:
        parent, node = node, node.get(key) if isinstance(node, dict) else None
    if isinstance(parent, dict) and set(parent) == {"kind"}:
        parent[path[-1]] = {"kind": kind}  # a part of a part whose kind was just set
        return
    if isinstance(node, dict) and node.get("kind") == kind:
        return
    if node is not None and not (isinstance(node, dict) and "kind" in node):
        raise UserError(f"No setting {name!r}: {'.'.join(path)!r} is not a part with a kind.")
    _assign(tree, ".".join(path), {"kind": kind})


def explain_invalid(
    error: ValidationError, made: type[Spec] | None = None, *, within: str = ""
) -> str:
    """Return the first problem as a sentence with the setting, its value and the allowed values.

    `made` is the class whose names are listed for one that it does not have; `within` is the
    setting that the class is a value of.
    """
    problem = error.errors(include_url=False)[0]
    where = ".".join([*filter(None, [within]), *map(str, problem["loc"])]) or "settings"
    if problem["type"] == "extra_forbidden":
        if made is not None and len(problem["loc"]) == 1:
            names = ", ".join(sorted(made.model_fields)) or "none"
            near = nearest(where, made.model_fields)
            return f"No setting {where!r} in {made.__name__}, whose settings are: {names}.{near}"
        return f"No setting {where!r}; see `olivine show` for all names."
    if problem["type"] == "missing":
        return f"Setting {where!r} must be set; a part is chosen by its name and .kind."
    text = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    if isinstance(given, Mapping | Spec):  # settings that contradict each other: too many to print
        if not problem["loc"]:
            return f"Settings: {text}."
        return f"Setting {where!r}: {text}."
    return f"Setting {where!r}: {text}; it was given {given!r}."
