"""The modules of version 0.1 that the code of its logged models imports.

MLflow stores a copy of that code beside a model and runs it to load the model. The names that it
imports are provided here; nothing else of 0.1 can be imported.
"""

import sys
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

MODULES = tuple(f"olivine.{name}" for name in ("config", "errors", "pretrain", "spec", "storage"))


class OldNamesFinder:
    """Creates those modules when they are imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the specification of a module of 0.1, or None for any other."""
        return ModuleSpec(name, self) if name in MODULES else None  # type: ignore[arg-type] # it is one by its methods

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None, so that Python creates the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module with its names of version 0.1."""
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
    """The part of a configuration that that code uses: the backbone and the voxels."""

    @staticmethod
    def from_dict(tree: Any) -> Any:
        """Return the backbone's settings, and a voxelizer with the method of version 0.1."""
        from olivine.data.geometry.voxelization import voxelize
        from olivine.training.config import PretrainConfig as Config

        config = Config.from_dict(tree)
        voxels = SimpleNamespace(voxelize=partial(voxelize, config.voxels))
        return SimpleNamespace(backbone=config.backbone, voxels=voxels)


class Package(ModuleType):
    """The package `olivine`, whose public names a module of 0.1 must not hide.

    Python sets each imported submodule as an attribute of its package; `olivine.pretrain` is a
    function now and was a module then.
    """

    offered: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but do not replace a public name by a module."""
        if not (name in self.offered and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def install_old_names(offered: frozenset[str]) -> None:
    """Register the finder of these modules, once; Python calls it after all others.

    `offered` are the package's public names, which are not replaced.
    """
    Package.offered = offered
    sys.modules["olivine"].__class__ = Package
    if not any(isinstance(finder, OldNamesFinder) for finder in sys.meta_path):
        sys.meta_path.append(OldNamesFinder())
