"""What do searches save by giving points up early, and do they still find the best one?

    python benchmarks/experiments/halving.py --out FOLDER [--seeds 0 1 2 3 4] [--points 24] \
        [--processes 2]

`sweeps/demo_loss_weights_search.py` with the learning rate free, too, on the demo's world. For
every seed the same points are searched twice over Ray Tune: with successive halving on
`probe_miou`, then without. All points are drawn by chance (`num_random`), so both searches have the
same ones, and equal points end in equal scores: the winner is the same if halving did not give it
up. The second search finds what the first finished, and goes on with what that gave up where it
was stopped; what either takes is the device time of all that its points ever ran. Printed are both
times, epochs, and winners. About ten minutes a seed on two CPUs; what was measured is kept in
FOLDER, so a killed run goes on by the same command.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from olivine.cli.stores import open_tracker
from olivine.core.runtime import Runtime
from olivine.data.datasets.synthetic.config import WorldConfig
from olivine.data.datasets.synthetic.export.writing import holds_world, write_world
from olivine.experiments.expanded_sweep import ExpandedSweep
from olivine.experiments.recipes import recipe
from olivine.experiments.search_space import Real
from olivine.experiments.sweep_files import sweep_module
from olivine.labels.job import label
from olivine.runners.on_ray.evaluate import trial
from olivine.runners.on_ray.sweep import run_sweep
from olivine.tracking.tracker import NullTracker
from olivine.training.config import EvaluateConfig, label_configs
from olivine.training.evaluate import evaluation_key
from olivine.training.experiment_data import ExperimentData
from olivine.training.loop import device_hours_of

SWEEP = sweep_module("demo_loss_weights_search").SWEEP

assert SWEEP.search is not None
SPACE = {"pretrained.optimiser.lr": Real(low=0.003, high=3.0, log=True), **SWEEP.search.space}
HALVING = {"halving": "probe_miou", "whole": ""}  # -> what trials are given up by


@dataclass(frozen=True)
class Outcome:
    """Of one search; scores in percent."""

    trial_s: float  # of devices, all trials together
    num_epochs: int
    gave_up: int
    winner: str  # fingerprint
    miou: float


def search(seed: int, way: str, given: argparse.Namespace) -> Outcome:
    """Search in the seed's store."""
    out = f"{given.out}/halving_{seed}"
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
        label(job, runtime, NullTracker())
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
    runtime = runtime.replace(probe_every_epochs=1)
    tracker = open_tracker(runtime)

    def identify(config: EvaluateConfig) -> str:
        return evaluation_key(config, ExperimentData.open(config, runtime)).fingerprint

    outcome = run_sweep(
        ExpandedSweep(asked, (), base, identify), trial, runtime, tracker, log=_quiet
    )
    assert not outcome.failures, outcome.failures
    best = max(outcome.finished.values(), key=lambda run: run.metrics["miou"])
    runs = [*tracker.records("pretrain"), *tracker.records("evaluate")]
    return Outcome(
        3600 * sum(device_hours_of(run.metrics) for run in runs),
        sum(int(run.metrics.get("pretrain/epoch", -1)) + 1 for run in runs),
        outcome.gave_up,
        best.key.fingerprint,
        best.metrics["miou"],
    )


def kept(seed: int, way: str, given: argparse.Namespace) -> Outcome:
    """Return what was measured before, or measure it."""
    path = Path(given.out, f"{way}_{seed}.json")
    if not path.exists():
        path.write_text(json.dumps(asdict(search(seed, way, given))))
    return Outcome(**json.loads(path.read_text()))


def _quiet(text: str) -> None:
    if "finished" not in text:
        print(f"  {text}", flush=True)


def main() -> None:
    """Search each seed both ways, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.world = str(Path(given.out, "nuscenes").absolute())
    if not holds_world(WorldConfig(), Path(given.world)):
        write_world(WorldConfig(), Path(given.world), given.processes)
    same, seconds = 0, dict.fromkeys(HALVING, 0.0)
    for seed in given.seeds:
        found = {way: kept(seed, way, given) for way in HALVING}
        for way, outcome in found.items():
            seconds[way] += outcome.trial_s
            print(
                f"seed {seed}, {way:8} {outcome.trial_s:6.0f} s of trials, {outcome.num_epochs:4} "
                f"epochs, {outcome.gave_up:2} of {given.points} given up; best "
                f"{outcome.winner[:8]} {outcome.miou:.2f}",
                flush=True,
            )
        same += len({outcome.winner for outcome in found.values()}) == 1
    share = seconds["halving"] / seconds["whole"]
    print(f"with halving {share:.2f} of the trial time without, over all seeds")
    print(f"the same winner in {same} of {len(given.seeds)} seeds")


if __name__ == "__main__":
    main()
