"""Sweeps as files: packaged ones, those in `sweeps/` of the working directory, or any path.

An installed package offers its own by an entry point of the group `olivine.sweeps`, which names a
`Sweep` or a module that defines `SWEEP`. Our files are loaded by their path, so that neither folder
hides the other. A user's file is loaded like that of a part (`olivine.core.plugins.file_modules`),
with its imports from its folder.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from olivine.core.errors import UserError, nearest
from olivine.core.plugins.entry_points import load_offer, offer_of, offers
from olivine.core.plugins.file_modules import load_file
from olivine.core.plugins.targets import file_at, parse_target
from olivine.core.streams import prints_to_stderr
from olivine.experiments.hidden_offers import HiddenOffer, hidden_offers
from olivine.experiments.sweep import Sweep

ATTRIBUTE = "SWEEP"
GROUP, ONE_SWEEP = "olivine.sweeps", "a sweep"
_OURS = "_olivine_sweeps"  # the package that our files are imported as


def sweep_names() -> list[str]:
    """Return the name of every sweep that is found without a path."""
    return sorted({*(path.stem for path in _all_files()), *offers(GROUP)})


def hidden_sweeps() -> list[HiddenOffer]:
    """Return the sweeps of packages whose names are ours; they are found by their locations."""
    return hidden_offers(GROUP, [path.stem for path in _files_of(_our_folder())], ATTRIBUTE)


def find_sweep(name: str) -> Sweep:
    """Return a sweep by its name, by the path of its file, or as package.module:NAME.

    Raises UserError for an unknown or ambiguous name, and for a file or a package that cannot be
    read as a sweep.
    """
    target = parse_target(name)
    with prints_to_stderr():
        found = target.load(ONE_SWEEP) if target else sweep_module(name)
    sweep = getattr(found, ATTRIBUTE, None) if isinstance(found, ModuleType) else found
    place = repr(name) if target else str(sweep_file(name) or f"The sweep {name!r}")
    if not isinstance(sweep, Sweep):
        what = (
            "does not define it"
            if sweep is None
            else f"has a value of type {type(sweep).__name__} there"
        )
        raise UserError(
            f"{place} is no sweep: it must define {ATTRIBUTE} = Sweep(...), of "
            f"olivine.experiments.sweep, and {what}."
        )
    wanted = Path(name).stem
    if sweep.name != wanted and not target:
        raise UserError(
            f"{place} calls its sweep {sweep.name!r}: its name is that of its file or entry point, "
            f"{wanted!r}."
        )
    return sweep


def sweep_module(name: str) -> Any:
    """Return the module of a sweep's file, or the object of a package's entry point.

    Raises UserError if there is none, or if it cannot be imported.
    """
    path = sweep_file(name)
    if path is None:
        offer = offer_of(GROUP, name, ONE_SWEEP)
        assert offer is not None, "sweep_file raises for a name that nobody has"
        return load_offer(offer, "The sweep")
    return _load_ours(path) if path.parent == _our_folder() else load_file(path)


def sweep_file(name: str) -> Path | None:
    """Return the path of a sweep's file, or None for one that an installed package offers.

    One of a package never stands in for one of ours. Raises UserError for a name that is unknown
    or that two have.
    """
    if name.endswith(".py") or "/" in name:
        path = file_at(name)
        if path is None:
            raise UserError(f"There is no sweep's file {name}.")
        return path
    found: list[Any] = [path for path in _all_files() if path.stem == name]
    if not any(path.parent == _our_folder() for path in found):
        found += filter(None, [offer_of(GROUP, name, ONE_SWEEP)])
    if not found:
        raise UserError(
            f"No sweep {name!r}.{nearest(name, sweep_names())} There are: "
            f"{', '.join(sweep_names())}; a file of your own is given by its path, ./my_sweep.py."
        )
    if len(found) > 1:
        both = " and ".join(map(str, found))
        raise UserError(f"Two sweeps are called {name!r}, {both}: give a file's path.")
    return found[0] if isinstance(found[0], Path) else None


def _our_folder() -> Path:
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "_sweeps"
    return in_wheel if in_wheel.is_dir() else package.parent / "sweeps"


def _all_files() -> list[Path]:
    """Return our files, and those of `sweeps/` in the working directory if it is another."""
    here = Path("sweeps").resolve()
    folders = [_our_folder(), *([here] if here.is_dir() and here != _our_folder() else [])]
    return [path for folder in folders for path in _files_of(folder)]


def _files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


def _load_ours(path: Path) -> ModuleType:
    """Import one of our files, whose folder need not be importable by its name."""
    if _OURS not in sys.modules:
        package = ModuleType(_OURS)
        package.__path__ = [str(path.parent)]
        sys.modules[_OURS] = package
    return importlib.import_module(f"{_OURS}.{path.stem}")
