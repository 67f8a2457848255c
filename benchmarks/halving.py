"""What do searches save by giving points up early, and do they still find the best one?

    python benchmarks/halving.py --out FOLDER [--seeds 0 1 2 3 4] [--points 24] [--processes 2]

`sweeps/demo_loss_weights_search.py` with the learning rate free, too, on the demo's world. For
every seed the same points are searched twice over Ray Tune: with successive halving on
`probe_miou`, and with every point coming to its end. All points are drawn by chance (`num_random`),
so that both searches have the same ones, and equal points end in equal scores: the winner is the
same if halving did not give it up. Printed are both times of trials, added up, epochs, and winners.
A killed run goes on by the same command. About 12 minutes a seed on two CPUs.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from olivine.commands import open_tracker
from olivine.config import EvaluateConfig, Runtime, label_configs
from olivine.datasets.synthetic import WorldConfig, holds_world, write_world
from olivine.evaluate import run_key
from olivine.label import label
from olivine.recipes import recipe
from olivine.sweep import Question, Real
from olivine.tracking import NullTracker
from olivine.worker import LocalWorker
from ray_jobs.evaluate import trial
from ray_jobs.sweep import run_sweep
from sweeps.demo_loss_weights_search import SWEEP

assert SWEEP.search is not None
SPACE = {"pretrained.optimiser.lr": Real(low=0.003, high=3.0, log=True), **SWEEP.search.space}
HALVING = {"halving": "probe_miou", "whole": ""}  # -> what trials are given up by


@dataclass(frozen=True)
class Outcome:
    """Of one search; scores in percent."""

    trial_s: float  # of all trials together
    num_epochs: int
    gave_up: int
    winner: str  # fingerprint
    miou: float


def search(seed: int, way: str, given: argparse.Namespace) -> Outcome:
    """Search in a store of its own, so that nothing is reused between the ways."""
    out = f"{given.out}/{way}_{seed}"
    runtime = Runtime(
        data_root=given.world,
        out=out,
        device="cpu",
        max_concurrent_trials=given.processes,
        allow=("fewer_pairs", "absent_classes"),
    )
    base = recipe(SWEEP.recipe)
    assert isinstance(base, EvaluateConfig)
    for job in label_configs(base.pretrained):
        label(job, runtime, LocalWorker(), NullTracker())
    assert SWEEP.search is not None
    changes = {
        "space": SPACE,
        "num_points": given.points,
        "num_random": given.points,
        "goals": {"miou": "max"},
        "stop_on": HALVING[way],
    }
    asked = SWEEP.model_copy(
        update={
            "name": f"{way}_{seed}",
            "search": SWEEP.search.model_copy(update=changes),
            "seeds": (seed,),
        }
    )
    runtime = runtime.override({"probe_every_epochs": 1})
    tracker = open_tracker(runtime)

    def identify(config: EvaluateConfig) -> str:
        return run_key(config, runtime).fingerprint

    outcome = run_sweep(Question(asked, (), base, identify), trial, runtime, tracker, say=_quiet)
    assert not outcome.failures, outcome.failures
    best = max(outcome.finished.values(), key=lambda run: run.metrics["miou"])
    records = tracker.records("trial")
    pretrained = tracker.records("pretrain")
    return Outcome(
        sum((run.end_s or 0.0) - run.start_s for run in records),
        sum(int(run.metrics["pretrain/epoch"]) + 1 for run in pretrained),
        outcome.gave_up,
        best.key.fingerprint,
        best.metrics["miou"],
    )


def _quiet(text: str) -> None:
    if "finished" not in text:
        print(f"  {text}", flush=True)


def main() -> None:
    """Search each seed both ways, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--ways", nargs="+", default=list(HALVING), choices=HALVING)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.world = str(Path(given.out, "nuscenes").absolute())
    if not holds_world(WorldConfig(), Path(given.world)):
        write_world(WorldConfig(), Path(given.world), given.processes)
    same, seconds = 0, dict.fromkeys(HALVING, 0.0)
    for seed in given.seeds:
        found = {way: search(seed, way, given) for way in given.ways}
        for way, outcome in found.items():
            seconds[way] += outcome.trial_s
            print(
                f"seed {seed}, {way:8} {outcome.trial_s:6.0f} s of trials, {outcome.num_epochs:4} "
                f"epochs, {outcome.gave_up:2} of {given.points} given up; best "
                f"{outcome.winner[:8]} {outcome.miou:.2f}",
                flush=True,
            )
        same += len({outcome.winner for outcome in found.values()}) == 1
    if len(given.ways) == len(HALVING):
        ratio = seconds["whole"] / seconds["halving"]
        print(f"{ratio:.2f} times the trial time without halving, over all seeds")
        print(f"the same winner in {same} of {len(given.seeds)} seeds")


if __name__ == "__main__":
    main()
