"""Table 1's shares of labels: SLidR's protocol, one pretraining per method, numbers in print."""

import pytest

from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep, sweep_module
from olivine.results.tables.published import in_print, protocol_of

WITH_MORE_LABELS = sweep_module("label_fraction").WITH_MORE_LABELS
ROWS = sweep_module("methods").ROWS


def trials_of(name: str) -> dict:
    sweep = find_sweep(name)
    return {t.row: t for t in expand(sweep.only(seeds=[1]), RECIPES[sweep.recipe]())}


@pytest.fixture(scope="module")
def trials() -> dict:
    return trials_of("label_fraction")


@pytest.mark.parametrize(
    ("share", "step", "num_epochs"),
    [("1 %", 100, 100), ("5 %", 20, 50), ("10 %", 10, 50), ("25 %", 4, 50), ("100 %", 1, 50)],
)
def test_shares_have_slidrs_protocol(trials, share, step, num_epochs):
    labels = ROWS if share == "1 %" else WITH_MORE_LABELS
    assert [row for row in trials if row.endswith(f", {share}")] == [
        f"{x}, {share}" for x in labels
    ]
    for label in labels:
        config = trials[f"{label}, {share}"].config
        assert (config.protocol, config.train.scene_step) == ("finetune", step)
        assert (config.num_epochs, config.batch_frames) == (num_epochs, 16)
        assert (config.optimiser.kind, config.optimiser.lr, config.head_lr) == ("sgd", 0.02, 2.0)
        assert config.pretrained == ROWS[label]().pretrained.override({"seed": 1})


def test_one_percent_is_a_recipe(trials):
    seeds = {"seed": 1, "pretrained.seed": 1}
    assert trials["OLIVINE, 1 %"].config == RECIPES["olivine_1_percent"]().override(seeds)


@pytest.mark.parametrize(
    ("name", "other", "share"),
    [
        ("label_fraction", "methods", "10 %"),
        ("demo_label_fraction", "demo_methods", "1 of 8 scenes"),
        ("backbones", "label_fraction", ""),
    ],
)
def test_trials_of_other_sweeps_are_the_same_trials(name, other, share):
    mine, theirs = trials_of(name), trials_of(other)
    if name == "backbones":
        pairs = [(row, row.removeprefix("MinkUNet ")) for row in mine if "MinkUNet" in row]
    else:
        pairs = [(f"{label}, {share}", f"{label}, {share}") for label in WITH_MORE_LABELS]
    assert pairs
    for row, twin in pairs:
        assert mine[row].fingerprint == theirs[twin].fingerprint


def test_every_number_in_print_has_its_row(trials):
    known = in_print("methods")
    beside = {}
    for row, trial in trials.items():
        settings = {name: str(value) for name, value in trial.config.flatten().items()}
        key = (row.partition(", ")[0], protocol_of(settings), "miou")
        if key in known:
            beside[key] = known[key].value
    of_labels = {key: number.value for key, number in known.items() if "finetune" in key[1]}
    # The first preprint's numbers with more labels: its labels are one of `label_source`'s.
    missing = of_labels.keys() - beside.keys()
    assert {(row, protocol == "finetune_1") for row, protocol, _ in missing} == {
        ("OLIVINE v1", False)
    }
    assert beside["OLIVINE", "finetune_1", "miou"] == 50.58
    assert beside["random", "finetune_100", "miou"] == 74.66


def test_the_demos_shares_are_of_its_eight_scenes():
    found = trials_of("demo_label_fraction")
    assert len(found) == 4 * len(WITH_MORE_LABELS)
    for row, trial in found.items():
        label, _, share = row.partition(", ")
        assert trial.config.train.scene_step == 8 // int(share.split()[0])
        expected = at_demo_scale(ROWS[label]()).pretrained.override({"seed": 1})
        assert trial.config.pretrained == expected
