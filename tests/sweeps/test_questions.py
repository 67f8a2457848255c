"""Every sweep: what its docstring says, and that all of its trials are configurations."""

import functools
import re

import pytest

from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import Trial, expand, point_of
from olivine.experiments.sweep_files import find_sweep, sweep_names
from olivine.results.paper_tables import TABLES
from olivine.results.tables.published import in_print

NAMES = sweep_names()
ABLATIONS = [name for name in NAMES if find_sweep(name).search is None]
SEARCHES = [name for name in NAMES if name not in ABLATIONS]
TERMS = "pretrained.method.terms"
SAMPLE = f"{TERMS}.class.sample"
# Sweeps whose rows only change settings: the row that is the recipe itself, and what they change.
CHANGES = {
    "loss_weights": (
        "OLIVINE",
        {f"{TERMS}.{term}.weight" for term in ("pixel", "class", "compact")},
    ),
    "vmf_concentration": (
        "estimated",
        {
            f"{TERMS}.compact.loss.{name}"
            for name in (
                *("concentration", "concentration_scale", "max_concentration"),
                *("bias_correction", "freeze"),
            )
        },
    ),
    "sampler_temperatures": (
        f"{SAMPLE}.density_temperature=1.0, {SAMPLE}.category_temperature=1.0",
        {f"{SAMPLE}.density_temperature", f"{SAMPLE}.category_temperature"},
    ),
    "design_choices": (
        "OLIVINE",
        {
            *(f"{SAMPLE}.density_temperature", f"{SAMPLE}.category_temperature"),
            *(f"{TERMS}.class.head", f"{TERMS}.compact.head"),
            f"{TERMS}.compact.loss.concentration",
            "pretrained.labels.*",
        },
    ),
    "label_source": (
        "Grounded-SAM 13 prompts",
        {"pretrained.labels.*", "pretrained.method.ignored_as_class"},
    ),
}


@functools.cache
def trials_of(name: str, recipe: str) -> tuple[Trial, ...]:
    return expand(find_sweep(name).only(seeds=[0]), RECIPES[recipe]())


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_asks_and_says_which_table_what_it_costs_and_what_to_expect(name: str) -> None:
    text = find_sweep(name).question

    assert "?" in text.partition("\n\n")[0]
    for part in ("table", "\nCost: ", "\nExpected: "):
        assert part in text, f"the docstring of sweeps/{name}.py lacks {part!r}"


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_trials_are_as_many_as_the_docstring_says(name: str) -> None:
    sweep = find_sweep(name)
    rows = {trial.row for trial in trials_of(name, sweep.recipe)}
    said = re.search(r"Cost: (\d+) rows x (?:(\d+) protocols x )?(\d+) seeds", sweep.question)

    assert said is not None
    assert (int(said[1]) * int(said[2] or 1), int(said[3])) == (len(rows), len(sweep.seeds))


@pytest.mark.parametrize("name", ABLATIONS)
def test_pretraining_and_evaluation_have_the_trials_seed(name: str) -> None:
    sweep = find_sweep(name)

    first = next(iter(sweep.rows), None)
    for trial in expand(sweep.only([first] if first else [], [4]), RECIPES[sweep.recipe]()):
        assert trial.config.seed == trial.config.pretrained.seed == 4


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("recipe", ["olivine", "demo"])
def test_a_search_takes_every_value_it_may_draw(name: str, recipe: str) -> None:
    sweep, base = find_sweep(name), RECIPES[recipe]()

    assert expand(sweep, base) == ()
    assert f"\nCost: {sweep.search.num_points} points, one seed" in sweep.question
    ends = [[values.extremes[end] for values in sweep.search.space.values()] for end in (0, -1)]
    for values in ends:
        settings = dict(zip(sweep.search.space, values, strict=True))
        flat = point_of(sweep, base, settings).config.flatten()
        assert {setting: flat[setting] for setting in settings} == settings


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_gives_up_only_after_every_term_has_joined(name: str) -> None:
    """So that the weight of the vMF term, which is off at first, has shown by then."""
    sweep = find_sweep(name)
    config = RECIPES[sweep.recipe]().pretrained
    num_frames = {"olivine": 28_130, "demo": 48}[sweep.recipe]
    steps = sweep.search.min_epochs * (num_frames // config.batch_frames)

    assert steps > config.method.terms["compact"].loss.warmup_steps
    assert sweep.search.min_epochs < config.num_epochs


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("recipe", [None, "demo"])
def test_rows_differ_only_in_what_they_ask_about(name: str, recipe: str | None) -> None:
    sweep, (itself, asked) = find_sweep(name), CHANGES[name]
    base = RECIPES[recipe or sweep.recipe]()
    trials = trials_of(name, recipe or sweep.recipe)
    differing = set()
    for trial in trials:
        flat, settings = base.flatten(), trial.config.flatten()
        differing |= {n for n in flat.keys() | settings.keys() if flat.get(n) != settings.get(n)}
    patterns = {n: "pretrained.labels.*" for n in differing if n.startswith("pretrained.labels.")}

    assert {patterns.get(setting, setting) for setting in differing} == asked
    if recipe is None:
        assert [trial.config for trial in trials if trial.row == itself] == [base]


def test_the_demos_labeller_is_a_row_of_the_label_sources() -> None:
    found = {trial.row: trial.config for trial in trials_of("label_source", "demo")}
    assert found["embedded"] == RECIPES["demo"]()


def test_labels_as_published_are_those_of_the_published_recipes() -> None:
    found = {t.row: t.config.pretrained for t in trials_of("label_source", "olivine")}
    for row, recipe in (("Grounded-SAM", "olivine_v1"), ("SEEM release", "olivine_seem")):
        published, ours = RECIPES[recipe]().pretrained, found[f"{row} as published"]
        assert ours.labels == published.labels
        assert ours.method.ignored_as_class is published.method.ignored_as_class is True


def test_sweeps_of_one_recipe_share_the_recipe_itself() -> None:
    """A trial is known by its fingerprint, so what several of them ask is run once."""
    shared = {"components", "loss_weights", "vmf_concentration", "sampler_temperatures"}
    own = RECIPES["olivine"]().fingerprint()
    for name in shared:
        assert own in {trial.fingerprint for trial in trials_of(name, "olivine")}


@pytest.mark.parametrize("table", TABLES)
def test_every_sweep_behind_a_table_exists(table: str) -> None:
    assert set(TABLES[table]) <= set(NAMES)
    assert all(find_sweep(name).rows for name in TABLES[table])  # what `--rows` chooses from


def test_gains_in_print_are_over_rows_of_their_sweep() -> None:
    sweep = find_sweep("design_choices")
    gains = {
        row.removeprefix("OLIVINE over "): number.value
        for (row, protocol, metric), number in in_print(sweep.name).items()
        if (protocol, metric) == ("finetune_1", "miou_difference")
    }
    assert gains == {"shared heads": 3.53, "deterministic": 1.97}
    assert {"OLIVINE", *gains} <= set(sweep.rows)
