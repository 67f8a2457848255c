"""The contract of every part's settings, and a function that loads a part from its file."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from olivine.core.errors import UserError
from olivine.core.families import family_named
from olivine.core.parts import Part, family_of, part_class

if TYPE_CHECKING:
    import torch


def load_part(family: str, path: str | Path, name: str) -> type[Part]:
    """Return a part's class from its file, as `kind=./file.py:Name` does.

    `family` is a name such as "losses". Raises UserError for a file without that class, and for a
    class of another family.
    """
    return part_class(family_named(family), f"{Path(path).absolute()}:{name}")


def require(kept: bool, part: Part, promise: str) -> None:
    """Raise AssertionError, naming the part, unless a promise is kept."""
    if not kept:
        raise AssertionError(f"{part.family}, {part.kind}: {promise}")


def check_settings(part: Part) -> None:
    """Check the promises of a part's settings.

    They can be written and read again (as plain values, as YAML and by pickle), give the same
    fingerprint every time, do not change, and refuse a name that they do not have.

    Raises AssertionError for a promise that is broken.
    """
    family = family_of(type(part))
    written = part.to_dict()
    again = family.from_dict(written)
    require(type(again) is type(part), part, "the written settings are read as another class")
    require(again == part, part, "the written settings are read as other settings")
    from_yaml = family.from_dict(yaml.safe_load(part.to_yaml()))
    require(from_yaml == part, part, "the YAML of the settings is read as other settings")
    require(pickle.loads(pickle.dumps(part)) == part, part, "a pickle gives other settings")
    prints = {part.fingerprint(), again.fingerprint(), from_yaml.fingerprint()}
    require(len(prints) == 1, part, "equal settings have different fingerprints")
    for name in type(part).model_fields:
        try:
            setattr(part, name, getattr(part, name))
        except ValidationError:
            continue
        require(False, part, f"the setting {name} can be changed after it was made")
    try:
        family.from_dict({**written, "no_setting_of_this_name": 1})
    except UserError:
        return
    require(False, part, "an unknown setting is accepted")


def devices() -> "Iterator[torch.device]":
    """Yield the CPU, and a GPU if there is one."""
    import torch

    yield torch.device("cpu")
    if torch.cuda.is_available():
        yield torch.device("cuda")
