"""Source trees kept under their hash, so that a run in progress never sees an edit.

<folder>/<hash>/my_loss.py

The folder is `$OLIVINE_USER_CODE`, else `~/.cache/olivine/user_code`. What lies there is compared
with its hash before it is used.
"""

import os
import shutil
import uuid
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.plugins.source_tree import SourceTree, read_folder

VARIABLE = "OLIVINE_USER_CODE"
_verified: dict[str, Path] = {}  # hash -> folder, of what this process has compared


def kept_root() -> Path:
    """Return the folder of all kept trees."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else Path.home() / ".cache" / "olivine" / "user_code"


def keep(tree: SourceTree) -> str:
    """Write a tree under its hash, unless it is there, and return the hash.

    Raises UserError for a folder that cannot be written.
    """
    if find_kept(tree.hash) is None:
        try:
            _write(tree, kept_root() / tree.hash)
        except OSError as error:
            raise UserError(
                f"Cannot keep a copy of {', '.join(sorted(tree.files))} in {kept_root()}: "
                f"{error.strerror}. Set {VARIABLE} to a folder that can be written."
            ) from None
    return tree.hash


def find_kept(code_hash: str) -> Path | None:
    """Return the folder of a tree whose files have this hash, or None."""
    folder = kept_root() / code_hash
    if _verified.get(code_hash) == folder and folder.is_dir():
        return folder
    if not folder.is_dir() or read_folder(folder).hash != code_hash:
        return None
    _verified[code_hash] = folder
    return folder


def kept_tree(code_hash: str) -> SourceTree:
    """Return a tree that is kept; raise UserError if it is not."""
    folder = find_kept(code_hash)
    if folder is None:
        raise UserError(f"The code {code_hash} is not kept in {kept_root()} any more.")
    return read_folder(folder)


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
        if find_kept(tree.hash) is None:  # else another process was quicker
            raise
