"""Does the probe within pretraining rank pretrainings as the full linear probe does?

    python benchmarks/training/probe_ranking.py --out FOLDER [--world FOLDER] [--seeds 0 1] \
        [--rows PPKT ...]

Every method of `sweeps/demo_methods.py` is pretrained on the demo's world, or read from FOLDER,
where a finished sweep may have left it (then `--out` is its `runtime.out` and `--world` its
`runtime.data_root`). The weights are scored twice: by the probe (`olivine/training/probe.py`) on
training scenes, and by the linear probe on the validation scenes. Printed are both, their seconds,
and their rank correlations over the methods' means and over all runs; and, as what can be hoped
for, those of the linear probe with itself under another seed. A missing world is written with
`--world-seed`, missing labels are made. Half a minute for a pretraining on one CPU, a quarter for
a linear probe.
"""

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from olivine.cli.stores import open_tracker
from olivine.core.runtime import Runtime
from olivine.core.storage import Store
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import holds_world, write_world
from olivine.experiments.recipes import recipe
from olivine.experiments.sweep import Trial, expand
from olivine.experiments.sweep_files import sweep_module
from olivine.labels.job import label
from olivine.tracking.tracker import NullTracker, Tracker
from olivine.training import evaluate as evaluation
from olivine.training import pretrain as pretraining
from olivine.training.config import EvaluateConfig, label_configs
from olivine.training.experiment_data import ExperimentData
from olivine.training.pretrained_networks import build_model
from olivine.training.pretrained_weights import load_weights, weights_name
from olivine.training.probe import PROBE_MIOU, PretrainingProbe
from olivine.training.worker import LocalWorker

SWEEP = sweep_module("demo_methods").SWEEP
ROWS = sweep_module("methods").ROWS


@dataclass(frozen=True)
class Outcome:
    """Both scores of one pretraining; seconds of what was read instead are NaN."""

    ridge_miou: float
    linear_miou: float
    ridge_s: float
    linear_s: float
    pretrain_s: float


Outcomes = dict[str, dict[int, Outcome]]  # row -> seed -> outcome


def measure(trial: Trial, runtime: Runtime, tracker: Tracker) -> Outcome:
    """Pretrain if need be, and score."""
    config, worker = trial.config, LocalWorker()
    assert isinstance(config, EvaluateConfig)
    _make_labels(config, runtime)
    began, pretrain_s, linear_s = time.monotonic(), np.nan, np.nan
    data = ExperimentData.open(config, runtime)
    if pretraining.finished(config.pretrained, data.pretrain, runtime, tracker) is None:
        pretraining.pretrain(config.pretrained, runtime, worker, tracker, frames=data.pretrain)
        pretrain_s = time.monotonic() - began
    measured = _probe(config, runtime, worker).measure()
    began = time.monotonic()
    result = evaluation.finished(config, data, runtime, tracker)
    if result is None:
        result = evaluation.evaluate(config, runtime, worker, tracker, data=data)
        linear_s = time.monotonic() - began
    return Outcome(
        measured[PROBE_MIOU], result.scores["miou"], measured["probe_s"], linear_s, pretrain_s
    )


def _make_labels(config: EvaluateConfig, runtime: Runtime) -> None:
    if config.pretrained.labels or config.pretrained.segments:
        for job in label_configs(config.pretrained):
            label(job, runtime, NullTracker())


def _probe(config: EvaluateConfig, runtime: Runtime, worker: LocalWorker) -> PretrainingProbe:
    pretrained = config.pretrained
    frames = pretrained.data.open(runtime.data_path(), runtime.cache_path())
    backbone = build_model(pretrained, 1).backbone
    name = weights_name(pretraining.run_key(pretrained, frames))
    load_weights(Store(runtime.out), name, backbone, worker.device)
    return PretrainingProbe.open(pretrained, runtime, worker, backbone, frames)


def report(outcomes: Outcomes) -> None:
    """Print the methods, then how well their orders agree."""
    print(f"\n{'method':16} {'probe_miou':>14} {'linear probe':>14} {'s':>7} {'s':>7}   runs")
    for row, found in outcomes.items():
        ridge, linear = (_column(found, name) for name in ("ridge_miou", "linear_miou"))
        seconds = [np.nanmean(_column(found, name)) for name in ("ridge_s", "linear_s")]
        print(
            f"{row:16} {_spread(ridge):>14} {_spread(linear):>14} "
            f"{seconds[0]:7.1f} {seconds[1]:7.1f}   {len(found)}"
        )
    means = np.array(
        [
            [_column(found, name).mean() for name in ("ridge_miou", "linear_miou")]
            for found in outcomes.values()
        ]
    )
    runs = np.array([[o.ridge_miou, o.linear_miou] for f in outcomes.values() for o in f.values()])
    print()
    for title, pairs in (("means of methods", means), ("all runs", runs)):
        _agreement(f"probe_miou and linear probe, {title}", pairs[:, 0], pairs[:, 1])
    seeds = sorted(set.intersection(*(set(found) for found in outcomes.values())))
    for one, two in itertools.combinations(seeds, 2):
        for name, what in (("linear_miou", "linear probe"), ("ridge_miou", "probe_miou")):
            first, second = (
                [vars(found[seed])[name] for found in outcomes.values()] for seed in (one, two)
            )
            _agreement(f"{what} of seed {one} and of seed {two}", first, second)


def _column(found: Mapping[int, Outcome], name: str) -> np.ndarray:
    return np.array([vars(outcome)[name] for outcome in found.values()])


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=len(values) > 1):.2f}"


def _agreement(title: str, first: Sequence[float], second: Sequence[float]) -> None:
    spearman, kendall = spearmanr(first, second), kendalltau(first, second)
    print(
        f"{title + ':':56} Spearman {spearman.statistic:5.2f} (p {spearman.pvalue:.3f}), "
        f"Kendall {kendall.statistic:5.2f}, n {len(first)}"
    )


def main() -> None:
    """Measure every method and seed, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--world", help="default: OUT/nuscenes")
    parser.add_argument("--world-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    root = Path(given.world or f"{given.out}/nuscenes").absolute()
    world = WorldConfig(seed=given.world_seed)
    if not root.exists():
        write_world(world, root, given.threads)
    assert given.world or holds_world(world, root), f"{root} holds another world"
    runtime = Runtime(
        data_root=str(root),
        out=given.out,
        device="cpu",
        launcher="process",
        allow=("fewer_pairs", "absent_classes"),
    )
    tracker = open_tracker(runtime)
    trials = expand(SWEEP.only(given.rows, given.seeds), recipe(SWEEP.recipe))
    outcomes: Outcomes = {row: {} for row in given.rows}
    for trial in trials:
        found = outcomes[trial.row][trial.seed] = measure(trial, runtime, tracker)
        print(
            f"{trial.name:24} probe_miou {found.ridge_miou:6.2f} in {found.ridge_s:4.1f} s, "
            f"linear probe {found.linear_miou:6.2f} in {found.linear_s:5.1f} s, "
            f"pretraining {found.pretrain_s:5.1f} s",
            flush=True,
        )
    report(outcomes)


if __name__ == "__main__":
    main()
