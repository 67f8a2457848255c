"""Fingerprints are a promise: a run of an older version is found again by them, and reused.

`fingerprints.tsv` holds each as version 0.1 had it: of recipes, methods, parts with their default
settings, and sweeps' points. One that changes makes old runs unfindable, so it is a line of that
file whose third column says why.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from olivine.core.parts import part_class
from olivine.core.spec import Spec
from olivine.data.augmentations.base import Augmentation
from olivine.data.clusterings.base import Clustering
from olivine.data.dataset import Dataset
from olivine.experiments.recipes import RECIPES, recipe
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep, sweep_names
from olivine.labels.labeller import Labeller
from olivine.methods import catalogue as methods
from olivine.methods.losses.base import Loss
from olivine.methods.poolings.base import Pooling
from olivine.methods.samplers.base import Sampler
from olivine.models.backbones.base import Backbone
from olivine.models.teachers.base import Teacher
from olivine.training.optimisers.base import Optimiser

HELD = Path(__file__).with_name("fingerprints.tsv")
FAMILIES = (
    Augmentation, Backbone, Clustering, Dataset, Labeller, Loss, Optimiser, Pooling, Sampler,
    Teacher,
)  # fmt: skip
# Settings of parts that have no default.
REQUIRED: dict[str, dict] = {
    "labellers/imported": {"source": "OLIVINE release"},
    "labellers/regions": {"of": {"kind": "embedded"}},
}


def recipes() -> Iterator[tuple[str, Spec]]:
    for name in RECIPES:
        yield f"recipe {name}", recipe(name)
        yield f"recipe {name}, its pretraining", recipe(name).pretrained


def catalogue() -> Iterator[tuple[str, Spec]]:
    for name in vars(methods):
        if name.endswith("_method"):
            yield f"method {name.removesuffix('_method')}", getattr(methods, name)()


def parts() -> Iterator[tuple[str, Spec]]:
    for family in FAMILIES:
        for kind in family.built_in:
            name = f"{family.family}/{kind}"
            part = part_class(family, kind)
            yield f"part {name}", part.from_dict(REQUIRED.get(name, {}))


def sweeps() -> Iterator[tuple[str, Spec]]:
    for name in sweep_names():
        sweep = find_sweep(name)
        base = recipe(sweep.recipe)
        for trial in expand(sweep, base):
            yield f"sweep {name}, {trial.name}", trial.config
        if sweep.search is not None:
            yield f"sweep {name}, what it searches", sweep.search


def now() -> dict[str, str]:
    """Return every fingerprint as this code makes it."""
    named = [*recipes(), *catalogue(), *parts(), *sweeps()]
    assert len({name for name, _ in named}) == len(named)
    return {name: value.fingerprint() for name, value in named}


def held() -> dict[str, str]:
    lines = [line.split("\t") for line in HELD.read_text().splitlines()]
    assert all(len(line) in (2, 3) for line in lines)
    return {line[1]: line[0] for line in lines}


@pytest.fixture(scope="module")
def fingerprints() -> dict[str, str]:
    return now()


def test_no_fingerprint_changed_without_a_reason(fingerprints: dict[str, str]) -> None:
    before = held()
    changed = [
        f"{new}\t{name}" for name, new in fingerprints.items() if before.get(name, new) != new
    ]
    assert not changed, (
        f"old runs of these are found no more; if that must be, {HELD.name} says why:\n"
        + "\n".join(changed)
    )


def test_every_fingerprint_is_held(fingerprints: dict[str, str]) -> None:
    lacks = [f"{new}\t{name}" for name, new in fingerprints.items() if name not in held()]
    assert not lacks, f"new in {HELD.name}:\n" + "\n".join(lacks)
    gone = sorted(held().keys() - fingerprints.keys())
    assert not gone, f"no longer there, so out of {HELD.name}: {gone}"
