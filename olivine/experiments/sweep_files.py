"""Sweeps as files: packaged ones, those in `sweeps/` of the working directory, or any path.

A file is loaded by its path, so that neither folder hides the other. Files of one folder may import
from each other by `from .other import NAME`.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from olivine.core.errors import UserError, nearest
from olivine.core.hashing import text_hash
from olivine.experiments.sweep import Sweep

ATTRIBUTE = "SWEEP"


def sweep_names() -> list[str]:
    """Return the name of every sweep that is found without a path."""
    return sorted({path.stem for folder in _folders() for path in _files(folder)})


def find_sweep(name: str) -> Sweep:
    """Return a sweep by its name, or by the path of its file.

    Raises UserError for a name that is unknown or that two files have, and for a file that cannot
    be read as a sweep.
    """
    return _sweep_in(sweep_file(name))


def sweep_module(name: str) -> ModuleType:
    """Return the module of a sweep's file, for its other definitions."""
    return _load(sweep_file(name))


def sweep_file(name: str) -> Path:
    """Return the path of a sweep's file; raise UserError if it is not there."""
    if name.endswith(".py") or "/" in name:
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise UserError(f"There is no sweep's file {name}.")
        return path
    found = [path for folder in _folders() for path in _files(folder) if path.stem == name]
    if not found:
        raise UserError(
            f"No sweep {name!r}.{nearest(name, sweep_names())} There are: "
            f"{', '.join(sweep_names())}; a file of your own is given by its path, ./my_sweep.py."
        )
    if len(found) > 1:
        both = " and ".join(str(path) for path in found)
        raise UserError(f"Two files are called like the sweep {name!r}, {both}: give a path.")
    return found[0]


def _folders() -> list[Path]:
    """Return the packaged folder, and `sweeps/` of the working directory if that is another."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "_sweeps"
    ours = in_wheel if in_wheel.is_dir() else package.parent / "sweeps"
    here = Path("sweeps").resolve()
    return [ours, *([here] if here.is_dir() and here != ours else [])]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))


def _sweep_in(path: Path) -> Sweep:
    sweep = getattr(_load(path), ATTRIBUTE, None)
    if not isinstance(sweep, Sweep):
        what = "does not define it" if sweep is None else f"has a {type(sweep).__name__} there"
        raise UserError(
            f"{path} is no sweep: it must define {ATTRIBUTE} = Sweep(...), of "
            f"olivine.experiments.sweep, and {what}."
        )
    if sweep.name != path.stem:
        raise UserError(
            f"{path} calls its sweep {sweep.name!r}: its name is that of its file, {path.stem!r}."
        )
    return sweep


def _load(path: Path) -> ModuleType:
    """Run a file as a module of its folder; raise UserError that names it if it fails."""
    package = f"_sweeps_of_{text_hash(str(path.parent))}"
    if package not in sys.modules:
        module = ModuleType(package)
        module.__path__ = [str(path.parent)]
        sys.modules[package] = module
    try:
        return importlib.import_module(f"{package}.{path.stem}")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # whatever a person's file may raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be run: {type(error).__name__}: {reason}") from None
