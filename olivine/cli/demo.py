"""The whole chain on one machine: a world, its labels, a pretraining, a sweep and its table.

Every step is the stage that a real run takes, at the scale of two cores. With
`--set runtime.data_root=...` the world is not made and the chain runs on that data set.
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olivine.cli import settings
from olivine.core.progress import Progress
from olivine.core.runtime import Runtime
from olivine.core.spec import parse_settings
from olivine.experiments.question import question_of
from olivine.tracking.tracker import Tracker
from olivine.training.config import EvaluateConfig, label_config

SWEEP = "components"
ROWS = "random; PPKT; OLIVINE"  # what fits six minutes on two cores
NUM_WORKERS = 2  # processes that share the pretraining and the evaluation shown first


def demo(arguments: Namespace) -> int:
    """Run everything below `--out`; running it again does only what is missing."""
    out = Path(arguments.out)
    own_data = any(name == "runtime.data_root" for name in parse_settings(arguments.set))
    # Of the classes that the embedded labeller knows, it finds hardly a bicycle in this world.
    arguments.set = [f"runtime.out={out}", "runtime.allow=absent_classes", *arguments.set]
    if not own_data:
        arguments.set.append(f"runtime.data_root={out / 'nuscenes'}")
    arguments.name, arguments.rows = SWEEP, arguments.rows or ROWS
    experiment, runtime = settings.resolve(arguments)
    start_s = time.monotonic()
    if not own_data:
        with _step("1. A synthetic world, written as nuScenes"):
            _make_world(Path(runtime.data_root))
    tracker = settings.open_tracker(runtime)
    from olivine.runners.on_ray.session import ray_session

    with ray_session(runtime):
        _label_and_train(experiment, runtime, tracker)
        with _step(f"4. Sweep {SWEEP!r} over Ray Tune: rows {arguments.rows}"):
            status = _sweep(arguments, experiment, runtime, tracker)
    with _step("5. Table and figures, from MLflow"):
        _tabulate(out, runtime, tracker)
    _say(f"\nAll of it took {time.monotonic() - start_s:.0f} s. Next:")
    _say(f"  all rows:         olivine sweep {SWEEP} --recipe demo{_settings(arguments)}")
    _say(f"  the runs' page:   mlflow server --backend-store-uri {runtime.store_uri()}")
    _say("  your nuScenes:    olivine label olivine --set runtime.data_root=/data/nuscenes")
    return status


def _label_and_train(experiment: EvaluateConfig, runtime: Runtime, tracker: Tracker) -> None:
    from olivine.runners.on_ray.evaluate import evaluate_on_ray
    from olivine.runners.on_ray.label import label_on_ray
    from olivine.runners.on_ray.pretrain import pretrain_on_ray

    with _step("2. Weak labels, over Ray Data"):
        _say(str(label_on_ray(label_config(experiment.pretrained), runtime, tracker)))
    together = runtime.override({"num_workers": NUM_WORKERS})
    with _step(f"3. OLIVINE pretrained and probed by {NUM_WORKERS} workers of Ray Train"):
        pretrained = pretrain_on_ray(experiment.pretrained, together, tracker)
        _say(f"weights: {runtime.out}/{pretrained.weights}")
        scores = evaluate_on_ray(experiment, together, tracker).scores
        _say(f"linear probe: {scores['miou']:.2f} % mIoU, {scores['accuracy']:.2f} % of points")


def _make_world(root: Path) -> None:
    from olivine.data.datasets.synthetic.config import WorldConfig
    from olivine.data.datasets.synthetic.export.writing import write_world

    processes = os.cpu_count() or 1
    write_world(WorldConfig(), root, processes, Progress("world", "keyframes"))
    _say(f"data set: {root}")


def _sweep(
    arguments: Namespace, experiment: EvaluateConfig, runtime: Runtime, tracker: Tracker
) -> int:
    from olivine.runners.on_ray.evaluate import trial
    from olivine.runners.on_ray.sweep import run_sweep

    question = question_of(arguments, experiment, runtime)
    outcome = run_sweep(question, trial, runtime, tracker, say=_say)
    for name, reason in outcome.failures.items():
        _say(f"failed: {name}: {reason}")
    return settings.INCOMPLETE if outcome.failures else settings.OK


def _tabulate(out: Path, runtime: Runtime, tracker: Tracker) -> None:
    from olivine.results.tables.write import write_results

    results = write_results(SWEEP, runtime, tracker, out)
    _say(results.table)
    for path in results.files:
        _say(f"wrote {path}")
    results.keep(tracker)


@contextmanager
def _step(title: str) -> Iterator[None]:
    _say(f"\n{title}")
    start_s = time.monotonic()
    yield
    _say(f"   ({time.monotonic() - start_s:.0f} s)")


def _settings(arguments: Namespace) -> str:
    return "".join(f" --set {setting}" for setting in arguments.set)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
