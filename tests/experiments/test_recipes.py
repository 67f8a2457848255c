"""Recipes say what they are, and every ablation of the paper's tables is a setting away."""

import inspect

import pytest

from olivine.core.errors import UserError
from olivine.core.spec import parse_settings
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import RECIPES, recipe
from olivine.methods.catalogue import olivine_method
from olivine.methods.objective import Objective

TERMS = "pretrained.method.terms"


@pytest.mark.parametrize("name", RECIPES)
def test_a_docstring_says_what_to_expect_what_it_takes_and_the_command(name: str) -> None:
    text = inspect.getdoc(RECIPES[name]) or ""
    for part in ("Expected: ", "Takes: ", "`olivine "):
        assert part in text, f"the docstring of the recipe {name} lacks {part!r}"


@pytest.mark.parametrize(
    ("name", "num_classes", "freezes", "weight"),
    [
        ("olivine", 13, True, 1.0),
        ("olivine_v1", 14, False, 0.1),  # method.md §2.1 and §4.4
        ("olivine_seem", 17, True, 1.0),
    ],
)
def test_the_versions_of_olivine_have_their_classes_weights_and_banks(
    name: str, num_classes: int, freezes: bool, weight: float
) -> None:
    pretrained = recipe(name).pretrained
    assert pretrained.labels is not None
    objective = Objective(pretrained.method, 64, len(pretrained.labels.class_names))
    terms = pretrained.method.terms

    assert objective.losses["compact"].mean.shape == (num_classes, 64)
    assert [terms[t].weight for t in ("pixel", "class", "compact")] == [0.5, 0.5, weight]
    assert terms["compact"].loss.freeze is freezes


ABLATIONS = {
    "5, class contrast alone": [f"{TERMS}.compact.weight=0"],
    "5, consistency alone": [f"{TERMS}.class.weight=0", f"{TERMS}.pixel.weight=1"],
    "5, neither": [f"{TERMS}.{t}.weight={w}" for t, w in [("pixel", 1), ("class", 0)]]
    + [f"{TERMS}.compact.weight=0"],
    "6a, labels from the truth": ["pretrained.labels.kind=lidarseg_truth"],
    "6b, shared heads": [f"{TERMS}.class.head=pixel", f"{TERMS}.compact.head=pixel"],
    "6c, deterministic prototypes": [f"{TERMS}.compact.loss.concentration=1"],
    "6d, random": [f"{TERMS}.class.sample.{f}_temperature=0" for f in ("density", "category")],
    "6d, density alone": [f"{TERMS}.class.sample.category_temperature=0"],
    "6d, category alone": [f"{TERMS}.class.sample.density_temperature=0"],
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_of_tables_5_and_6_is_a_setting_away(name: str) -> None:
    changed = recipe("olivine").override(parse_settings(ABLATIONS[name]))

    assert changed.fingerprint() != recipe("olivine").fingerprint()
    Objective(changed.pretrained.method, 64, 13)


def test_shared_heads_are_one_head() -> None:
    changed = recipe("olivine").override(parse_settings(ABLATIONS["6b, shared heads"]))
    assert changed.pretrained.method.heads == ("pixel",)


def test_the_demos_scale_keeps_the_method() -> None:
    small = at_demo_scale(recipe("olivine_next")).pretrained.method
    assert small.terms["compact"].loss.form == "posterior"
    assert (
        small.terms["compact"].weight
        == recipe("olivine_next").pretrained.method.terms["compact"].weight
    )
    assert set(small.terms) == set(olivine_method().terms)


def test_a_misspelt_recipe_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match=r"No recipe 'seel'.*Did you mean 'seal'"):
        recipe("seel")
