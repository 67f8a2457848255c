"""Every setting of a value by its dotted name, with its description."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from olivine.core.spec import Spec, setting_text


class Described(NamedTuple):
    """One setting."""

    name: str  # dotted, as --set has it
    value: Any
    description: str

    @property
    def text(self) -> str:
        """The value as --set takes it."""
        return setting_text(self.value)


def described(spec: Spec, prefix: str = "") -> Iterator[Described]:
    """Yield every setting of a value, those of its parts by their dotted names."""
    for name, field in type(spec).model_fields.items():
        yield from _described(getattr(spec, name), _joined(prefix, name), field.description or "")


def _described(value: Any, name: str, description: str) -> Iterator[Described]:
    if isinstance(value, Spec):
        kind = getattr(value, "kind", "")
        if kind:
            yield Described(f"{name}.kind", kind, description)
        yield from described(value, name)
    elif isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _described(one, _joined(name, key), description)
    else:
        yield Described(name, _plain(value), description)


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
