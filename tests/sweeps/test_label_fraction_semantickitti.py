"""Every method of the comparison on nuScenes has its row, with the published protocol."""

import pytest

from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep, sweep_module
from olivine.results.tables.published import in_print, protocol_of

ROWS = sweep_module("methods").ROWS

SWEEP = find_sweep("label_fraction_semantickitti")


@pytest.fixture(scope="module")
def configs():
    trials = expand(SWEEP.only(seeds=[1]), RECIPES[SWEEP.recipe]())
    return {trial.row: trial.config for trial in trials}


def test_the_pretrainings_are_those_of_the_methods_sweep(configs):
    methods = expand(find_sweep("methods").only(seeds=[1]), RECIPES["olivine"]())
    theirs = {trial.row: trial.config.pretrained for trial in methods}
    assert {row.partition(", ")[0] for row in configs} == set(ROWS)
    for row, config in configs.items():
        assert config.pretrained == theirs[row.partition(", ")[0]]


@pytest.mark.parametrize(
    ("share", "step", "num_epochs"),
    [("1 %", 100, 100), ("5 %", 20, 50), ("10 %", 10, 50), ("20 %", 5, 50), ("100 %", 1, 50)],
)
def test_shares_of_labels_have_their_epochs(configs, share, step, num_epochs):
    config = configs[f"OLIVINE, {share}"]
    assert (config.train.frame_step, config.num_epochs) == (step, num_epochs)
    assert (config.optimiser.lr, config.head_lr, config.batch_frames) == (0.05, 2.0, 10)
    assert (config.train.split, config.val.split, config.val.frame_step) == ("train", "val", 1)


def test_a_number_in_print_stands_beside_its_own_share_alone(configs):
    known = in_print(SWEEP.published)
    found = {}
    for row, config in configs.items():
        settings = {name: str(value) for name, value in config.flatten().items()}
        number = known.get((row.partition(", ")[0], protocol_of(settings), "miou"))
        if number is not None:
            found[row] = number.value
    assert found == {
        "random, 1 %": 39.50,
        "PointContrast, 1 %": 41.10,
        "DepthContrast, 1 %": 41.50,
        "PPKT, 1 %": 44.00,
        "SLidR, 1 %": 44.60,
        "ST-SLidR, 1 %": 44.72,
        "Seal, 1 %": 46.63,
        "OLIVINE, 1 %": 49.38,
        "OLIVINE v1, 1 %": 47.3,
    }
