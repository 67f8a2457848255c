"""What a sweep will take, by what the store's runs took."""

import json

import pytest

from olivine.core.spec import Spec
from olivine.experiments.estimate import estimate
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.sweep import Sweep, expand
from olivine.tracking.tracker import RunKey, RunRecord


class Data(Spec):
    name: str = "mini"


class Pretraining(Spec):
    data: Data = Data()
    weight: float = 1.0
    num_epochs: int = 4


class Experiment(Spec):
    pretrained: Pretraining = Pretraining()
    train: Data = Data()
    protocol: str = "linear_probe"
    num_epochs: int = 2
    seed: int = 0


def question(base=None):
    """Two weights, each under two protocols with one pretraining, two seeds."""
    asked = Sweep(
        name="q",
        question="?",
        metric="miou",
        recipe="none",
        rows={"probe": {}, "tuned": {"protocol": "finetune"}},
        grid={"pretrained.weight": (0.5, 1.0)},
        seeds=(0, 1),
    )
    base = base or Experiment()
    works = lambda config: config.pretrained.fingerprint()
    return ExpandedSweep(asked, expand(asked, base), base, shared_work=works)


def record(config, stage, fingerprint, hours, name="pretrain/device_hours"):
    settings = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in config.flatten().items()
    }
    return RunRecord("id", RunKey(stage, fingerprint), "x", "FINISHED", settings, {name: hours})


def runs(pretrain_hours=(8.0,), evaluate_hours=(1.0,), config=None):
    config = config or Experiment()
    return (
        [record(config, "pretrain", f"p{i}", hours) for i, hours in enumerate(pretrain_hours)],
        [
            record(config, "evaluate", f"e{i}", hours, "probe/device_hours")
            for i, hours in enumerate(evaluate_hours)
        ],
    )


def test_a_shared_pretraining_counts_once_and_every_evaluation():
    asked = question()
    found = estimate(asked, [], *runs())
    assert (found.num_trials, found.num_finished, found.num_pretrainings) == (8, 0, 2)
    assert found.hours == pytest.approx(2 * 8 + 8 * 1)
    assert "About 24 GPU-hours, 48.00 USD." in found.lines(2.0)
    assert "About 24 GPU-hours." in found.lines(0.0)


def test_what_is_finished_costs_nothing():
    asked = question()
    done = [trial.fingerprint for trial in asked.trials if trial.config.pretrained.weight == 1]
    pretrained, evaluated = runs()
    found = estimate(asked, done, pretrained, evaluated)
    assert (found.num_finished, found.num_pretrainings) == (4, 1)
    assert found.hours == pytest.approx(8 + 4)
    half = asked.trials[0].config.pretrained  # its pretraining is there, its trials are not
    there = record(asked.trials[0].config, "pretrain", half.fingerprint(), 8.0)
    found = estimate(asked, done, [*pretrained, there], evaluated)
    assert (found.num_pretrainings, found.num_shared) == (0, 1)
    assert found.hours == pytest.approx(4)


def test_hours_go_by_the_epoch_and_by_the_median_of_runs_alike():
    asked = question(Experiment().override({"pretrained.num_epochs": 8}))
    found = estimate(asked, [], *runs((4.0, 8.0, 100.0), (1.0,)))
    assert found.hours == pytest.approx(2 * 16 + 8)


def test_without_a_run_on_the_same_data_it_is_unknown():
    other = Experiment().override({"pretrained.data.name": "trainval", "train.name": "trainval"})
    for records in (([], []), runs(config=other)):
        found = estimate(question(), [], *records)
        assert found.hours is None
        assert any("unknown" in line for line in found.lines(1.0))
