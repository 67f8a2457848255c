"""The contracts of a recipe and of a sweep."""

import json
from collections.abc import Callable
from functools import partial

import yaml

from olivine.experiments.recipes import recipe
from olivine.experiments.sweep import Sweep, expand
from olivine.experiments.sweep_files import find_sweep
from olivine.training.config import EvaluateConfig


def check_recipe(named: str | Callable[[], EvaluateConfig]) -> None:
    """Check the promises of a recipe, given by its function or as `--recipe` names it.

    It has a docstring, returns the same experiment every time, and the experiment can be written
    and read again.

    Raises AssertionError for a promise that is broken, and UserError as `--recipe` does.
    """
    make = partial(recipe, named) if isinstance(named, str) else named
    config = make()
    assert isinstance(config, EvaluateConfig), f"{named} does not return an EvaluateConfig"
    assert make().fingerprint() == config.fingerprint(), (
        f"{named} returns another experiment every time"
    )
    for text, read in (
        (json.dumps(config.to_dict()), json.loads),
        (config.to_yaml(), yaml.safe_load),
    ):
        again = EvaluateConfig.from_dict(read(text))
        assert again == config, f"the written settings of {named} are read as other settings"
        assert again.fingerprint() == config.fingerprint(), f"{named}: its fingerprint changes"
    if not isinstance(named, str):
        assert (named.__doc__ or "").strip(), f"{named.__name__} has no docstring"


def check_sweep(named: str | Sweep) -> None:
    """Check the promises of a sweep, given by its value or as `olivine sweep` names it.

    It has a question and a known recipe. Every row, or end of a search's range, is a valid
    experiment, no two are equal, and pretraining and evaluation have the trial's seed.

    Raises AssertionError for a promise that is broken, and UserError as `olivine sweep` does.
    """
    sweep = find_sweep(named) if isinstance(named, str) else named
    assert "?" in sweep.question, f"{sweep.name} has no question: its docstring must contain one"
    base = recipe(sweep.recipe)
    trials = expand(sweep, base)
    assert trials or sweep.search, f"{sweep.name} has no trial"
    for trial in trials:
        assert isinstance(trial.config, EvaluateConfig)
        for name in sweep.seed_names:
            found = trial.config.flatten()[name]
            assert found == trial.seed, f"{sweep.name}, {trial.name}: {name} is {found}"
