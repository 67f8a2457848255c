"""Objects named by location: `package.module:Name`, `./file.py:Name`, `file.py:Name@<hash>`.

Stored settings have the last form. It means the cached copy of that hash; if there is none, the
file of that name in the working folder is taken if its hash is the same.
"""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from olivine.core.errors import UserError, nearest
from olivine.core.plugins.code_cache import cached_folder, store_tree
from olivine.core.plugins.file_modules import error_sentence, load_cached, load_file
from olivine.core.plugins.source_tree import HASH_DIGITS, read_tree
from olivine.core.streams import prints_to_stderr

_FILE = re.compile(rf"(?P<file>.+\.py):(?P<name>[^:@]+)(@(?P<hash>[0-9a-f]{{{HASH_DIGITS}}}))?")
_MODULE = re.compile(r"(?P<module>[\w.]+):(?P<name>[^:@]+)")


@dataclass(frozen=True)
class Target:
    """An object in a module or a file, not imported yet."""

    text: str  # the text that was given
    name: str  # of the object in its module
    module: str = ""
    file: str = ""
    code_hash: str = ""  # of a file; empty: its current version

    def load_module(self) -> ModuleType:
        """Import the module; raise UserError, with the reason, if that fails."""
        if self.module:
            return _import(self.module, self.text)
        if not self.code_hash:
            path = file_at(self.file)
            if path is None:
                raise UserError(
                    f"{_short(self.text)!r} names the file {_short(self.file)}, which is not "
                    f"there; a path is from the folder where the command runs, {Path.cwd()}."
                )
            return load_file(path)
        if cached_folder(self.code_hash) is None:
            self._take_from_here()
        return load_cached(self.code_hash, self.file)

    def _take_from_here(self) -> None:
        path = file_at(self.file)
        tree = read_tree(path) if path else None
        if tree is None or tree.hash != self.code_hash:
            differs = "" if tree is None else f", and {path} is another version ({tree.hash})"
            raise UserError(
                f"The code of {self.text!r} is not on this machine{differs}: put the file as it "
                "was then into the folder where the command runs (its runs keep a copy below "
                f"user_code/{self.code_hash})."
            )
        store_tree(tree)

    def load(self, what: str) -> Any:
        """Return the object; raise UserError if it cannot be imported or is missing."""
        return self.object_in(self.load_module(), what)

    def object_in(self, module: ModuleType, what: str) -> Any:
        """Return the object of the imported module; raise UserError if it is missing."""
        found: Any = module
        for step in self.name.split("."):
            if not hasattr(found, step):
                names = [name for name in vars(found) if not name.startswith("_")]
                raise UserError(
                    f"{self.text!r} names {what}, and {self.file or self.module} has no "
                    f"{self.name}.{nearest(self.name, names)}"
                )
            found = getattr(found, step)
        return found


def parse_target(text: str) -> Target | None:
    """Return the target of a text, or None for a plain name."""
    if found := _FILE.fullmatch(text):
        return Target(text, found["name"], file=found["file"], code_hash=found["hash"] or "")
    if found := _MODULE.fullmatch(text):
        return Target(text, found["name"], module=found["module"])
    return None


def file_at(text: str) -> Path | None:
    """Return the absolute path of a file that a user names, or None if there is no such file.

    Raises UserError for the home folder of an unknown user.
    """
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError:
        raise UserError(
            f"{_short(text)!r} begins with the home folder of a user who is unknown here: write "
            "the whole path, or ~/ for your own folder."
        ) from None
    try:
        return path if path.is_file() else None
    except OSError:  # such as a name that is too long
        return None


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}…{text[-50:]}"


def names_a_file(text: str) -> bool:
    """Return whether a text without `:Name` looks like the path of a Python file."""
    return text.endswith(".py") or text.startswith(("./", "../", "~/", "/"))


def _import(module: str, text: str) -> ModuleType:
    try:
        with prints_to_stderr():
            return importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything
        raise UserError(
            f"{text!r} cannot be imported: {error_sentence(error)} Install its package in this "
            "environment, or name a file by its path, ./file.py:Name."
        ) from None
