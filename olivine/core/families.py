"""The families of parts, by name; each base class is imported on first use."""

import importlib
from typing import TYPE_CHECKING

from olivine.core.errors import UserError, nearest

if TYPE_CHECKING:
    from olivine.core.parts import Part

# The location of each family's base class.
FAMILIES = {
    "augmentations": "olivine.data.augmentations.base:Augmentation",
    "backbones": "olivine.models.backbones.base:Backbone",
    "clusterings": "olivine.data.clusterings.base:Clustering",
    "datasets": "olivine.data.dataset:Dataset",
    "labellers": "olivine.labels.labeller:Labeller",
    "losses": "olivine.methods.losses.base:Loss",
    "optimisers": "olivine.training.optimisers.base:Optimiser",
    "poolings": "olivine.methods.poolings.base:Pooling",
    "samplers": "olivine.methods.samplers.base:Sampler",
    "teachers": "olivine.models.teachers.base:Teacher",
}


def family_named(name: str) -> "type[Part]":
    """Return the base class of a family; raise UserError for an unknown name."""
    if name not in FAMILIES:
        raise UserError(
            f"No family {name!r} of parts.{nearest(name, FAMILIES)} There are "
            f"{', '.join(FAMILIES)}."
        )
    module, _, base = FAMILIES[name].partition(":")
    return getattr(importlib.import_module(module), base)
