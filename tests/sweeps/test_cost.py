"""Table 9: the same few epochs of every method, each with the stages that it has in full."""

import pytest

from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep, sweep_module

NUM_EPOCHS = sweep_module("cost").NUM_EPOCHS
ROWS = sweep_module("methods").ROWS


@pytest.mark.parametrize(
    ("name", "scale"), [("cost", lambda experiment: experiment), ("demo_cost", at_demo_scale)]
)
def test_rows_are_the_methods_but_for_their_epochs(name, scale):
    sweep = find_sweep(name)
    trials = expand(sweep.only(seeds=[0]), RECIPES[sweep.recipe]())
    assert sweep.metric == "hours"
    assert {trial.row for trial in trials} == set(ROWS) - {"random"}
    evaluations = {
        trial.config.override({"pretrained": ROWS["random"]().pretrained}).fingerprint()
        for trial in trials
    }
    assert len(evaluations) == 1
    for trial in trials:
        full, short = scale(ROWS[trial.row]()).pretrained, trial.config.pretrained
        assert short.num_epochs == NUM_EPOCHS < full.num_epochs
        ours, theirs = short.flatten(), full.flatten()
        changed = {setting for setting in theirs if ours[setting] != theirs[setting]}
        assert changed - {"num_epochs"} <= {"method.terms.compact.loss.warmup_steps"}
        for setting in changed & {"method.terms.compact.loss.warmup_steps"}:
            share = theirs[setting] / full.num_epochs
            assert ours[setting] == pytest.approx(share * NUM_EPOCHS, abs=0.5)
