"""Every recipe and sweep keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep_files import sweep_names
from olivine.testing import check_recipe, check_sweep


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_keeps_its_promises(name: str) -> None:
    check_recipe(name)
    check_recipe(RECIPES[name])


@pytest.mark.parametrize("name", sweep_names())
def test_a_sweep_keeps_its_promises(name: str) -> None:
    check_sweep(name)
