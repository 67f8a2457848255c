"""User code that a job ships to another process, perhaps on another machine.

Files are shipped and cached there under their hash. Packages are not shipped: they must be
installed there, and their code is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from olivine.core.errors import UserError
from olivine.core.families import family_named
from olivine.core.parts import part_class, part_code, parts_of
from olivine.core.plugins.code_cache import loaded_tree, store_tree
from olivine.core.plugins.file_modules import file_of_module
from olivine.core.plugins.source_tree import SourceTree


@dataclass(frozen=True)
class UserPart:
    """A user's part that a job needs, and the hash of its code."""

    family: str
    kind: str
    code: str

    def check(self) -> None:
        """Raise UserError if this process lacks the part or has another version of it."""
        try:
            found = part_code(part_class(family_named(self.family), self.kind))
        except UserError as error:
            raise UserError(
                f"A worker lacks a part that the job uses: {error} Every node needs the packages "
                "of the machine that started the job."
            ) from None
        if found != self.code:
            raise UserError(
                f"A worker has the part {self.kind!r} in another version (code {found}) than the "
                f"machine that started the job (code {self.code}): install the same version of its "
                "package on every node."
            )


@dataclass(frozen=True)
class UserCode:
    """The user code of a job: files, and parts to check; picklable and small."""

    trees: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # hash -> files
    parts: tuple[UserPart, ...] = ()

    @classmethod
    def of(cls, *settings: Any) -> "UserCode":
        """Return the code of the parts within some settings."""
        classes = {type(part) for part in parts_of(settings) if part_code(type(part))}
        parts = {UserPart(one.family, one.kind, part_code(one)) for one in classes}
        modules = {base.__module__ for one in classes for base in one.__mro__}
        files = {found[0] for module in modules if (found := file_of_module(module))}
        trees = {one: loaded_tree(one).files for one in files}
        return cls(trees, tuple(sorted(parts, key=lambda part: (part.family, part.kind))))

    def install(self) -> None:
        """Cache the files here, and compare the packages.

        Raises UserError for a package that is not installed here, or in another version.
        """
        for files in self.trees.values():
            store_tree(SourceTree(files))
        for part in self.parts:
            part.check()


NO_USER_CODE = UserCode()
