"""Writes a new part, recipe or sweep and its test, from a template that works.

The templates are text files beside this module, `parts/<what>.py.txt` and `tests/<what>.py.txt`.
"""

import keyword
import re
import shlex
import string
import sys
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from olivine.core.errors import UserError, nearest

# What can be written, and how a command names it; $file is the path, $Class the class.
USES = {
    "augmentation": "--set pretrained.augmentations.$name.kind=$file:$Class",
    "backbone": "--set pretrained.backbone.kind=$file:$Class",
    "clustering": "--set pretrained.clusters.kind=$file:$Class",
    "dataset": "--set pretrained.data.kind=$file:$Class",
    "labeller": "--set pretrained.labels.kind=$file:$Class",
    "loss": "--set pretrained.method.terms.pixel.loss.kind=$file:$Class",
    "optimiser": "--set pretrained.optimiser.kind=$file:$Class",
    "pooling": "--set pretrained.method.terms.pixel.pool.kind=$file:$Class",
    "recipe": "olivine show $file:$name",
    "sampler": "--set pretrained.method.terms.pixel.sample.kind=$file:$Class",
    "sweep": "olivine sweep $file --dry-run",
    "teacher": "--set pretrained.teacher.kind=$file:$Class",
}


@dataclass(frozen=True)
class NewFiles:
    """The paths of the new files, and the words of a command that name the part, for a shell."""

    part: Path
    test: Path
    use: str


def write_new(what: str, name: str, folder: str | Path = ".") -> NewFiles:
    """Write a part, a recipe or a sweep and its test into a folder; return their paths.

    `what` is a key of `USES` such as "loss". `name` is the name of the file without .py, such as
    my_loss; its class is then MyLoss. A missing folder is created. Both files work unchanged.

    Raises UserError for an unknown `what`, for a name that is not a module's or is that of an
    installed module, and if one of the two files exists already: nothing is overwritten.
    """
    place = Path(folder).expanduser()
    _check(what, name)
    if _is_installed(name, place):
        raise UserError(
            f"{name!r} is the name of an installed module, which the file would hide: take "
            f"another, such as my_{name}."
        )
    written = _names(what, name, place)
    for path in (written.part, written.test):
        if path.exists():
            raise UserError(f"{path} exists already: choose another name or folder.")
    names = {"name": name, "Class": class_name(name), "words": name.replace("_", " ")}
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path, kind in ((written.part, "parts"), (written.test, "tests")):
            template = (files(__package__) / kind / f"{what}.py.txt").read_text()
            path.write_text(string.Template(template).substitute(names))
    except OSError as error:
        raise UserError(f"Cannot write into {place}: {error.strerror}.") from None
    return written


def class_name(name: str) -> str:
    """Return the class name of a file: MyLoss for my_loss."""
    return "".join(word.capitalize() for word in name.split("_"))


def _names(what: str, name: str, folder: Path) -> NewFiles:
    part = folder / f"{name}.py"
    shown = str(part) if part.is_absolute() else f"./{part}"
    names = {"name": name, "Class": class_name(name), "file": shown}
    words = (string.Template(word).substitute(names) for word in USES[what].split())
    return NewFiles(part, folder / f"test_{name}.py", shlex.join(words))


def _is_installed(name: str, folder: Path) -> bool:
    """Return whether an import of this name finds something that is not a file of the user's.

    Nothing is imported. The working folder is on Python's path for some commands only.
    """
    try:
        spec = find_spec(name)
    except ValueError:  # a module of this process that has no specification
        return True
    if spec is None:
        return False
    found = list(spec.submodule_search_locations or filter(None, [spec.origin]))
    own = {Path.cwd(), folder.resolve()}
    return not found or any(Path(one).resolve().parent not in own for one in found)


def _check(what: str, name: str) -> None:
    if what not in USES:
        raise UserError(
            f"There is no template {what!r}.{nearest(what, USES)} There are {', '.join(USES)}."
        )
    plain = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is not None
    taken = keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "olivine"
    if not plain or taken:
        why = "is a reserved name" if taken else "is not the name of a Python module"
        raise UserError(
            f"{name!r} {why}: take lower-case letters, digits and single _, such as my_{what}."
        )
