"""A Python file and all its imports from its own folder, which are hashed, cached and shipped.

A *unit* is a module or a package that lies beside the file: `helper.py`, or `helper/` with Python
files. `import helper`, `from helper import f` and `from .helper import f` all mean that unit, as
they do for a script that Python runs: a folder without an `__init__.py` is meant only if no
installed module has its name; names of Python's standard library and `olivine` always mean those. A
package counts as a whole. Imports are found in the syntax tree, so a module that is named only when
the code runs (`importlib.import_module(name)`) is not part of the tree.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from olivine.core.errors import UserError

HASH_DIGITS = 12


@dataclass(frozen=True)
class SourceTree:
    """Python files by their path below one folder, with "/" between folders."""

    files: Mapping[str, bytes]

    @cached_property
    def hash(self) -> str:
        """Return 12 hex digits that change with any byte of any file, and with any name."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            for part in (name.encode(), self.files[name]):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:HASH_DIGITS]


def read_tree(path: Path) -> SourceTree:
    """Return a file and its imports from its folder, transitively.

    Raises UserError for a file that is missing, is not Python, or imports from above its folder.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    if not path.stem.replace("-", "_").isidentifier():
        raise UserError(
            f"{path} cannot be imported: call the file by letters, digits, _ and -, as my_part.py."
        )
    return Units(path.parent).tree(path.stem)


def read_folder(folder: Path) -> SourceTree:
    """Return every Python file below a folder; links to folders are followed, as imports do."""
    paths = sorted(_python_files(folder, frozenset()))
    return SourceTree({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})


def _python_files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        return  # a link to a folder that contains it
    try:
        inside = list(folder.iterdir())
    except PermissionError:
        return  # nothing in it can be imported
    for path in inside:
        if path.is_dir():
            yield from _python_files(path, above | {real})
        elif path.suffix == ".py" and path.is_file():
            yield path


class Units:
    """The modules and packages of one folder, read once.

    A cached tree has only what its files need, so all in it is meant, whatever is installed.
    """

    def __init__(self, folder: Path, *, cached: bool = False):
        self.folder, self._cached = folder, cached
        self._files: dict[str, dict[str, bytes]] = {}  # of each unit that was needed so far
        self._trees: dict[str, SourceTree] = {}

    def has(self, name: str) -> bool:
        """Return whether an absolute import of this name means a unit of the folder."""
        if name in sys.stdlib_module_names or name == "olivine":
            return False
        if not self.files(name):
            return False
        beside = f"{name}.py" in self.files(name) or f"{name}/__init__.py" in self.files(name)
        return beside or self._cached or not _is_installed(name)

    def files(self, name: str) -> dict[str, bytes]:
        """Return the files of a unit by their path below the folder; none if it is missing."""
        if name not in self._files:
            package, module = self.folder / name, self.folder / f"{name}.py"
            if module.is_file() and not (package / "__init__.py").is_file():
                self._files[name] = {module.name: module.read_bytes()}
            else:
                found = read_folder(package).files if package.is_dir() else {}
                self._files[name] = {f"{name}/{path}": data for path, data in found.items()}
        return self._files[name]

    def tree(self, name: str) -> SourceTree:
        """Return a unit and the units that it imports, transitively."""
        if name not in self._trees:
            reached, left = dict[str, bytes](), [name]
            seen = set(left)
            while left:
                files = self.files(left.pop())
                reached |= files
                for path, data in files.items():
                    found = set(self._imported(path, data)) - seen
                    seen |= found
                    left += sorted(found)
            self._trees[name] = SourceTree(reached)
        return self._trees[name]

    def _imported(self, path: str, data: bytes) -> Iterator[str]:
        for node in ast.walk(parse(data, self.folder / path)):
            if isinstance(node, ast.Import):
                tops = [alias.name.partition(".")[0] for alias in node.names]
                yield from filter(self.has, tops)
                self._refuse_own_package(tops, path)
            elif isinstance(node, ast.ImportFrom):
                yield from self._imported_from(node, path)

    def _imported_from(self, node: ast.ImportFrom, path: str) -> Iterator[str]:
        if node.level == 0:
            top = str(node.module).partition(".")[0]
            yield from filter(self.has, [top])
            self._refuse_own_package([top], path)
            return
        if package_of(path, node.level, self.folder):
            return  # within its own unit, which counts as a whole
        names = [node.module] if node.module else [alias.name for alias in node.names]
        tops = [name.partition(".")[0] for name in names]
        yield from (top for top in tops if self.files(top))

    def _refuse_own_package(self, names: list[str], path: str) -> None:
        """Raise UserError for an import by the name of the folder's own package."""
        own = self.folder.name
        if own in names and not self.has(own) and self._is_package():
            raise UserError(
                f"{self.folder / path} belongs to the package {own!r} and imports from it by that "
                "name: install the package and name the part as package.module:Name, or import by "
                "`from .module import name`."
            )

    def _is_package(self) -> bool:
        """Return whether the folder itself can be imported from, with `__init__.py` or without."""
        if (self.folder / "__init__.py").is_file():
            return True
        places = _found(self.folder.name)[1]
        return any(Path(place).resolve() == self.folder.resolve() for place in places)


def _is_installed(name: str) -> bool:
    """Return whether a module or a package with an `__init__.py` has this name elsewhere."""
    return _found(name)[0]


def _found(name: str) -> tuple[bool, list[str]]:
    """Return whether a top-level name has a file, and where a name without one has its folders."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False, []
    if spec is None or spec.has_location:
        return spec is not None, []
    return False, list(spec.submodule_search_locations or [])


def package_of(path: str, level: int, folder: Path) -> tuple[str, ...]:
    """Return the package below the folder from which a relative import of `level` dots starts.

    "" is the folder itself. Raises UserError for a package above it.
    """
    parts = PurePosixPath(path).parent.parts
    if level - 1 > len(parts):
        raise UserError(
            f"{folder / path} imports from above its folder ({'.' * level}), which is not sent "
            "with it: make it an installed package, and name the part as package.module:Name."
        )
    return parts[: len(parts) - (level - 1)]


def parse(data: bytes, path: Path) -> ast.Module:
    """Return a file's syntax tree; raise UserError for a file that is not Python."""
    try:
        return ast.parse(data, str(path))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not Python: {' '.join(str(error).split())}.") from None
