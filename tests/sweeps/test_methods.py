import pytest

from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep, sweep_module
from olivine.results.tables.published import in_print

ROWS = sweep_module("methods").ROWS


@pytest.mark.parametrize(
    ("name", "share", "step"), [("methods", "10 %", 10), ("demo_methods", "1 of 8 scenes", 8)]
)
def test_every_method_has_both_protocols_on_one_pretraining(
    name: str, share: str, step: int
) -> None:
    sweep = find_sweep(name)

    trials = expand(sweep, RECIPES[sweep.recipe]())

    assert len(trials) == 2 * len(ROWS) * 5
    config = {(trial.row, trial.seed): trial.config for trial in trials}
    for label in ROWS:
        probe, tuned = config[label, 3], config[f"{label}, {share}", 3]
        assert probe.pretrained == tuned.pretrained
        assert (probe.protocol, tuned.protocol) == ("linear_probe", "finetune")
        assert tuned.train.scene_step == step


def test_the_rows_in_print_are_rows_of_the_sweep() -> None:
    known = {(row, protocol) for row, protocol, _ in in_print("methods")}

    probed = {label for label in ROWS if (label, "linear_probe") in known}
    assert probed == set(ROWS) - {"ScaLR", "OLIVINE next"}
    tuned = {(label, "finetune_10") for label in ("random", "Seal", "OLIVINE", "OLIVINE v1")}
    assert tuned <= known


def test_rows_are_the_recipes() -> None:
    trials = expand(find_sweep("methods").only(seeds=[0]), RECIPES["olivine"]())
    found = {trial.row: trial.config.pretrained for trial in trials}
    small = expand(find_sweep("demo_methods").only(seeds=[0]), RECIPES["demo"]())
    scaled = {trial.row: trial.config.pretrained for trial in small}

    for label, recipe in ROWS.items():
        assert found[label] == recipe().pretrained
        assert scaled[label] == at_demo_scale(recipe()).pretrained
