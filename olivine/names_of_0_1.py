"""Modules of version 0.1 that code logged with its models imports.

MLflow keeps a copy of that code beside a model and runs it to load one. What it asks for is found
here, under its names of then; nothing else of 0.1 can be imported.
"""

import sys
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

MODULES = tuple(f"olivine.{name}" for name in ("config", "errors", "pretrain", "spec", "storage"))


class Finder:
    """Makes those modules when somebody imports them."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where to load a module of 0.1, and nothing for any other."""
        return ModuleSpec(name, self) if name in MODULES else None  # type: ignore[arg-type] # it is one by its methods

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to Python."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module with the names that are asked of it."""
        vars(module).update(_names(module.__name__))


def _names(module: str) -> dict[str, Any]:
    if module == "olivine.config":
        return {"PretrainConfig": PretrainConfig}
    if module == "olivine.errors":
        from olivine.core.errors import UserError

        return {"UserError": UserError}
    if module == "olivine.pretrain":
        from olivine.training.pretrained_networks import NUM_INPUT_CHANNELS

        return {"NUM_INPUT_CHANNELS": NUM_INPUT_CHANNELS}
    if module == "olivine.spec":
        from olivine.core.spec import read_yaml

        return {"read_yaml": read_yaml}
    from olivine.core.storage import Store

    return {"Store": Store}


class PretrainConfig:
    """What that code does with a configuration: build the backbone, and cut voxels."""

    @staticmethod
    def from_dict(tree: Any) -> Any:
        """Return the backbone's settings, and a voxelizer that cuts by itself as it did then."""
        from olivine.data.geometry.voxelization import voxelize
        from olivine.training.config import PretrainConfig as Config

        config = Config.from_dict(tree)
        voxels = SimpleNamespace(voxelize=partial(voxelize, config.voxels))
        return SimpleNamespace(backbone=config.backbone, voxels=voxels)


class Package(ModuleType):
    """The package's own module, whose names a module of 0.1 never hides.

    Python sets each imported submodule as an attribute of its package; `olivine.pretrain` is a
    function now and was a module then.
    """

    offered: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but no module in the place of a name that is offered."""
        if not (name in self.offered and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def install(offered: frozenset[str]) -> None:
    """Have Python look here for modules that it finds nowhere else; once is enough.

    `offered` are the package's own names, which stay what they are.
    """
    Package.offered = offered
    sys.modules["olivine"].__class__ = Package
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
