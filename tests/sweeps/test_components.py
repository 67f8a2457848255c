import pytest

from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep

SWEEP = find_sweep("components")


@pytest.mark.parametrize("recipe", ["olivine", "demo"])
def test_every_row_is_a_configuration_of_the_recipe(recipe):
    trials = expand(SWEEP, RECIPES[recipe]())
    assert len(trials) == len(SWEEP.rows) * len(SWEEP.seeds)
    for trial in trials:
        assert trial.config.seed == trial.config.pretrained.seed == trial.seed


def test_rows_differ_only_in_what_they_ask_about():
    trials = expand(SWEEP.only(seeds=[0]), RECIPES["demo"]())
    settings = {trial.row: trial.config.flatten() for trial in trials}
    differing = {
        name
        for row in settings.values()
        for name in row.keys() | settings["OLIVINE"].keys()
        if row.get(name) != settings["OLIVINE"].get(name)
    }
    terms = "pretrained.method.terms."
    assert differing == {
        "pretrained.num_epochs",
        f"{terms}pixel.weight",
        f"{terms}class.weight",
        f"{terms}compact.weight",
        f"{terms}class.sample.density_temperature",
        f"{terms}class.sample.category_temperature",
    }


@pytest.mark.parametrize("recipe", ["olivine", "demo"])
def test_full_is_the_recipe_itself(recipe):
    (full,) = expand(SWEEP.only(["OLIVINE"], [0]), RECIPES[recipe]())
    assert full.config == RECIPES[recipe]()
