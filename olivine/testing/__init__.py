"""Contract checks: the promises of every part of a family, for our parts and yours.

    from olivine.testing import check_loss, load_part

    MyLoss = load_part("losses", "my_loss.py", "MyLoss")

    def test_my_loss() -> None:
        check_loss(MyLoss())

A check returns nothing; it raises AssertionError with a sentence that names the broken promise.
There is a check for each family, one for recipes and one for sweeps. They run on a CPU in seconds,
and also on a GPU if there is one.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olivine.testing.augmentations import check_augmentation
    from olivine.testing.backbones import check_backbone
    from olivine.testing.clusterings import check_clustering
    from olivine.testing.datasets import check_dataset
    from olivine.testing.experiments import check_recipe, check_sweep
    from olivine.testing.labellers import check_labeller
    from olivine.testing.losses import check_loss
    from olivine.testing.optimisers import check_optimiser
    from olivine.testing.poolings import check_pooling
    from olivine.testing.samplers import check_sampler
    from olivine.testing.settings import check_settings, load_part
    from olivine.testing.teachers import check_teacher

_MODULE_OF = {
    "check_augmentation": "augmentations",
    "check_backbone": "backbones",
    "check_clustering": "clusterings",
    "check_dataset": "datasets",
    "check_labeller": "labellers",
    "check_loss": "losses",
    "check_optimiser": "optimisers",
    "check_pooling": "poolings",
    "check_recipe": "experiments",
    "check_sampler": "samplers",
    "check_settings": "settings",
    "check_sweep": "experiments",
    "check_teacher": "teachers",
    "load_part": "settings",
}

__all__ = [  # noqa: RUF022, the order of docs/extending.md
    "check_settings",
    "load_part",
    "check_loss",
    "check_sampler",
    "check_pooling",
    "check_backbone",
    "check_teacher",
    "check_labeller",
    "check_dataset",
    "check_augmentation",
    "check_clustering",
    "check_optimiser",
    "check_recipe",
    "check_sweep",
]


def __getattr__(name: str) -> Any:
    """Import the module of a check on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
