"""Files as modules: `./my_loss.py` is imported as `olivine.user_code.h_<hash>.my_loss`.

The hash covers the file and its imports from its folder, and the cached copy under that hash is the
code that runs. A module that it imports from the folder is loaded under its own hash. So a class
has one name, whichever file imports it, and an edit of a recipe does not change the loss that it
imports.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from olivine.core.errors import UserError
from olivine.core.plugins.code_cache import cached_folder, store_tree
from olivine.core.plugins.source_tree import Units, package_of, parse, read_tree
from olivine.core.spec import explain_invalid
from olivine.core.streams import prints_to_stderr

PACKAGE = "olivine.user_code"
_PREFIX = f"{PACKAGE}.h_"


def load_file(path: Path) -> ModuleType:
    """Import the current version of a file, and return its module.

    Raises UserError for a file that is missing, is not Python or cannot be run.
    """
    tree = read_tree(path)
    return load_cached(store_tree(tree), f"{path.stem}.py", shown=str(path))


def load_cached(code_hash: str, name: str, shown: str = "") -> ModuleType:
    """Import a file of a cached tree by its path in it; errors name it `shown`.

    Raises UserError for a tree that is not cached here, and for a file that cannot be run.
    """
    shown = shown or name
    folder = cached_folder(code_hash)
    if folder is None or not (folder / name).is_file():
        raise UserError(f"The code of {name} ({code_hash}) is not on this machine.")
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    try:
        with prints_to_stderr():
            return importlib.import_module(f"{_PREFIX}{code_hash}.{module}")
    except UserError as error:
        raise UserError(f"{shown}: {error}") from None
    except ValidationError as error:
        raise UserError(f"{shown}: {explain_invalid(error)}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's file may raise anything
        raise UserError(f"{shown} cannot be run: {error_sentence(error)}") from None


def error_sentence(error: BaseException) -> str:
    """Return an error as one line that ends with a full stop."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}".rstrip(".") + "."


def file_of_module(module: str) -> tuple[str, str] | None:
    """Return the hash and the path of a module that was loaded from a file, else None."""
    if not module.startswith(_PREFIX):
        return None
    code_hash, _, name = module.removeprefix(_PREFIX).partition(".")
    path = name.replace(".", "/")
    folder = cached_folder(code_hash)
    is_package = folder is not None and (folder / path / "__init__.py").is_file()
    return code_hash, f"{path}/__init__.py" if is_package else f"{path}.py"


def install_finder() -> None:
    """Register the finder of such modules with Python, once."""
    if not any(isinstance(finder, UserCodeFinder) for finder in sys.meta_path):
        sys.meta_path.append(UserCodeFinder())


class UserCodeFinder:
    """Finds modules of cached trees."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the specification of a module of a cached tree, or None."""
        if not name.startswith(_PREFIX):
            return None
        code_hash, *parts = name.removeprefix(_PREFIX).split(".")
        folder = cached_folder(code_hash)
        if folder is None:
            return None
        if not parts:
            return ModuleSpec(name, None, is_package=True)
        package, module = folder.joinpath(*parts, "__init__.py"), folder.joinpath(*parts)
        module = module.with_name(f"{module.name}.py")
        for file, inner in ((package, []), (module, None)):
            if file.is_file():
                loader = _Loader(name, str(file), folder)
                return spec_from_file_location(
                    name, file, loader=loader, submodule_search_locations=inner
                )
        if folder.joinpath(*parts).is_dir():  # without an __init__.py
            return ModuleSpec(name, None, is_package=True)
        return None


class _Loader(SourceFileLoader):
    """Compiles a file after redirecting its imports from the folder to cached trees."""

    def __init__(self, name: str, path: str, folder: Path):
        super().__init__(name, path)
        self._folder = folder

    def path_stats(self, path: Any) -> Any:
        """Keep no compiled code: what it imports would not be kept beside it."""
        raise OSError

    def source_to_code(  # type: ignore[override] # as importlib calls it
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> Any:
        """Return the code of a file."""
        place = Path(path).relative_to(self._folder).as_posix()
        tree = _Redirect(_units(self._folder), place).visit(parse(bytes(data), Path(path)))
        return compile(
            ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize
        )


@cache
def _units(folder: Path) -> Units:
    return Units(folder, cached=True)  # cached trees never change


class _Redirect(ast.NodeTransformer):
    """Replaces the name in every import from the folder by the full name of the cached module."""

    def __init__(self, units: Units, place: str):
        self._units, self._place = units, place

    def visit_Import(self, node: ast.Import) -> Any:
        """Replace `import helper`, `import helper.sub` and `import helper.sub as name`."""
        return [
            ast.copy_location(statement, node)
            for alias in node.names
            for statement in self._imports(alias)
        ]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """Replace `from helper import f`, `from .helper import f` and `from . import helper`."""
        if node.level and package_of(self._place, node.level, self._units.folder):
            return node  # within its own package
        if not node.module:
            names = [self._from_parent(alias) for alias in node.names]
            return [ast.copy_location(statement, node) for statement in names]
        top = node.module.partition(".")[0]
        if not (self._units.files(top) if node.level else self._units.has(top)):
            return node
        return ast.copy_location(
            ast.ImportFrom(module=self._cached_module(node.module), names=node.names, level=0), node
        )

    def _imports(self, alias: ast.alias) -> Iterator[ast.stmt]:
        top, _, rest = alias.name.partition(".")
        if not self._units.has(top):
            yield ast.Import(names=[alias])
            return
        if not alias.asname or not rest:
            yield self._from_parent(ast.alias(name=top, asname=alias.asname))
        if rest:
            parent, _, leaf = alias.name.rpartition(".")
            asname = alias.asname or f"_imported_{leaf}"
            inner = [ast.alias(name=leaf, asname=asname)]
            yield ast.ImportFrom(module=self._cached_module(parent), names=inner, level=0)

    def _from_parent(self, alias: ast.alias) -> ast.stmt:
        if not self._units.files(alias.name.partition(".")[0]):
            return ast.ImportFrom(module=None, names=[alias], level=1)  # fails when it runs
        package = self._cached_module(alias.name).rpartition(".")[0]
        return ast.ImportFrom(module=package, names=[alias], level=0)

    def _cached_module(self, name: str) -> str:
        """Return the full name of a module of the folder, whose tree is cached by its own hash."""
        top = name.partition(".")[0]
        return f"{_PREFIX}{store_tree(self._units.tree(top))}.{name}"
