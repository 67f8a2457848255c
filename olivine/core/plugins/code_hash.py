"""The hash of a user's class: that of its package, or of its file.

The hash of a package covers all `.py` files of its top-level package (below a namespace, of the
package in it); the hash of a file covers the file and its imports from its folder, that of a module
below a namespace its imports from the folder that holds the namespace. Packages imported from
elsewhere, such as torch, do not count. A hash is computed once per process, on first use, because
the process runs that code.
"""

import sys
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.hashing import text_hash
from olivine.core.plugins.entry_points import offering_packages
from olivine.core.plugins.file_modules import PACKAGE, file_of_module
from olivine.core.plugins.source_tree import SourceTree, Units, read_folder, read_tree

_FOUNDATIONS = ("torch", "pydantic", "pydantic_core")
_INSTALLED = ("site-packages", "dist-packages")


def is_ours(module: str) -> bool:
    """Return whether a module is part of this library."""
    top = module.partition(".")[0]
    return top == "olivine" and not module.startswith(f"{PACKAGE}.")


def counts_as_code(module: str) -> bool:
    """Return whether a base class of a user's part, itself no part, counts as code of the user.

    Python's own library, the libraries that parts are made with and whatever is installed do not
    count, unless the installed package offers parts itself.
    """
    top = module.partition(".")[0]
    if is_ours(module) or top in sys.stdlib_module_names or top in _FOUNDATIONS:
        return False
    if file_of_module(module):
        return True
    return not is_installed(Path(_origin(_package_of(module)))) or top in offering_packages()


def defined_elsewhere(module: str, named: str) -> bool:
    """Return whether code of `module` has another hash than `named`, the module that was named."""
    if is_ours(module) or is_ours(named):
        return is_ours(module) != is_ours(named)
    mine, other = file_of_module(module), file_of_module(named)
    if mine or other:
        return mine != other
    return _package_of(module) != _package_of(named)


def code_hash(modules: Iterable[str]) -> str:
    """Return 12 hex digits of the code of some modules; our own do not count.

    Raises UserError for a module whose code cannot be found.
    """
    hashes = sorted({_hash_of(module) for module in modules if not is_ours(module)})
    return hashes[0] if len(hashes) == 1 else text_hash("/".join(hashes))


def _hash_of(module: str) -> str:
    kept = file_of_module(module)
    return kept[0] if kept else _package_hash(_package_of(module))


@cache
def _package_of(module: str) -> str:
    """Return the outermost package of a module that is not a mere namespace."""
    steps = module.split(".")
    for depth in range(1, len(steps) + 1):
        name = ".".join(steps[:depth])
        if _origin(name):
            return name
    raise UserError(
        f"The code of {module} cannot be found, so nobody could tell whether it has changed: put "
        "it into a file or an installed package."
    )


@cache
def _package_hash(name: str) -> str:
    file = Path(_origin(name))
    if not file.is_file() or file.suffix == ".pyc":
        raise UserError(
            f"The code of {name} cannot be read from {file}, so nobody could tell whether it has "
            "changed: unpack it into a folder of Python files."
        )
    if file.name.partition(".")[0] == "__init__":  # perhaps a compiled one
        return SourceTree({**read_folder(file.parent).files, file.name: file.read_bytes()}).hash
    # The files beside an installed module belong to other packages.
    if is_installed(file) or file.suffix != ".py":
        return SourceTree({file.name: file.read_bytes()}).hash
    namespace = name.split(".")[:-1]
    root = file.parents[len(namespace)]
    if namespace and root.joinpath(*namespace) == file.parent:
        return Units(root).tree(namespace[0]).hash
    return read_tree(file).hash


def is_installed(file: Path) -> bool:
    """Return whether a file was installed, as by pip, and is not edited where it lies."""
    return any(part in _INSTALLED for part in file.parts)


def _origin(name: str) -> str:
    """Return the file of a module; "" for a namespace or a module that cannot be found."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return str(getattr(loaded, "__file__", None) or "")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return ""
    return str(spec.origin) if spec and spec.has_location else ""
