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


def settings_of(rows):
    trials = expand(SWEEP.only(rows, [0]), RECIPES["demo"]())
    return {trial.row: trial.config.flatten() for trial in trials}


def test_sampling_alone_is_the_baselines_loss_on_the_draws_of_all_of_olivine():
    configs = {
        trial.row: trial.config.pretrained
        for trial in expand(SWEEP.only(["PPKT", "+ sampling", "OLIVINE"], [0]), RECIPES["demo"]())
    }
    ((_, baseline),) = configs["PPKT"].method.active().items()
    ((_, sampling),) = configs["+ sampling"].method.active().items()
    assert sampling.loss == baseline.loss
    assert sampling.weight == baseline.weight
    assert sampling.sample == configs["OLIVINE"].method.terms["class"].sample
    assert sampling.sample.num_pairs == baseline.sample.num_pairs
    assert sampling.match == baseline.match == "pixel"
    rest = {name: config.replace(method=configs["PPKT"].method) for name, config in configs.items()}
    assert len({config.fingerprint() for config in rest.values()}) == 1


@pytest.mark.parametrize(
    ("sweep", "like"),
    [
        ("components_1_percent", "components"),
        ("components_semantickitti", "components"),
        ("design_choices_semantickitti", "design_choices"),
    ],
)
def test_the_columns_of_one_table_share_their_pretrainings(sweep, like):
    pretrained = []
    for name in (sweep, like):
        found = find_sweep(name)
        trials = expand(found.only(seeds=[0]), RECIPES[found.recipe]())
        pretrained.append({trial.row: trial.config.pretrained for trial in trials})
    assert pretrained[0] == pretrained[1]


def test_rows_differ_only_in_what_they_ask_about():
    settings = settings_of([row for row in SWEEP.rows if row != "+ sampling"])
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
