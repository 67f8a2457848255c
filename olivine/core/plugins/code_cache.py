"""A cache of source trees by their hash, so that a run in progress never sees an edit.

<folder>/<hash>/my_loss.py

The folder is `$OLIVINE_USER_CODE`, else `~/.cache/olivine/user_code`. Its files are compared with
their hash before they are used.
"""

import os
import shutil
import uuid
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.plugins.source_tree import SourceTree, read_folder

VARIABLE = "OLIVINE_USER_CODE"
_verified: dict[
    str, tuple[Path, SourceTree]
] = {}  # by hash: the trees that this process has compared


def cache_root() -> Path:
    """Return the folder of all cached trees."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else Path.home() / ".cache" / "olivine" / "user_code"


def store_tree(tree: SourceTree) -> str:
    """Write a tree under its hash unless it is cached, and return the hash.

    Raises UserError for a folder that cannot be written.
    """
    if cached_folder(tree.hash) is None:
        try:
            _write(tree, cache_root() / tree.hash)
        except OSError as error:
            raise UserError(
                f"Cannot keep a copy of {', '.join(sorted(tree.files))} in {cache_root()}: "
                f"{error.strerror}. Set {VARIABLE} to a folder that can be written."
            ) from None
    return tree.hash


def cached_folder(code_hash: str) -> Path | None:
    """Return the folder of a tree whose files have this hash, or None."""
    folder = cache_root() / code_hash
    if not folder.is_dir():
        return None
    if code_hash not in _verified or _verified[code_hash][0] != folder:
        tree = read_folder(folder)
        if tree.hash != code_hash:
            return None
        _verified[code_hash] = folder, tree
    return folder


def loaded_tree(code_hash: str) -> SourceTree:
    """Return a tree from which this process has imported; its copy may be gone."""
    return _verified[code_hash][1]


def _write(tree: SourceTree, target: Path) -> None:
    """Write a tree whole: its files appear together, by one rename."""
    hidden = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        for name, data in tree.files.items():
            path = hidden / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if target.exists():  # changed since it was written, or half removed
            shutil.rmtree(target)
        hidden.rename(target)
    except OSError:
        shutil.rmtree(hidden, ignore_errors=True)
        if cached_folder(tree.hash) is None:  # otherwise another process has written it
            raise
