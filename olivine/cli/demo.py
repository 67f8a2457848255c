"""`olivine demo`: all stages on one machine, from a synthetic world to a table.

Every step is a stage of a real run, at the scale of two cores. With `--set runtime.data_root=...`
no world is made and the stages run on that data set.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olivine.cli.options import Changes, Config
from olivine.cli.output import log, write_layout, write_line
from olivine.cli.stores import open_tracker
from olivine.cli.sweep import Seeds

if TYPE_CHECKING:
    from olivine.core.runtime import Runtime
    from olivine.experiments.requests import ExperimentRequest, SweepRequest
    from olivine.tracking.tracker import Tracker
    from olivine.training.config import EvaluateConfig

SWEEP = "components"
ROWS = "random; PPKT; OLIVINE"  # what fits six minutes on two cores
NUM_WORKERS = 2  # processes of the first pretraining and its evaluation
INCOMPLETE = 1


def demo(
    out: Annotated[
        str, typer.Option("--out", metavar="FOLDER", help="Folder for everything.")
    ] = "demo",
    rows: Annotated[str, typer.Option("--rows", metavar="'A;B'", help="Rows of the sweep.")] = ROWS,
    seeds: Seeds = "",
    config: Config = "",
    changes: Changes = None,
) -> int:
    """Run all stages on a synthetic world, in minutes; a second call runs only what is missing."""
    from olivine.core.spec import parse_settings
    from olivine.experiments.requests import (
        ExperimentRequest,
        SweepRequest,
        split_rows,
        split_seeds,
    )
    from olivine.runners.on_ray.session import ray_session

    own_data = "runtime.data_root" in parse_settings(changes or ())
    # The embedded labeller hardly finds a bicycle in this world.
    first = [f"runtime.out={out}", "runtime.allow=absent_classes"]
    last = [] if own_data else [f"runtime.data_root={Path(out) / 'nuscenes'}"]
    request = ExperimentRequest("", config, tuple(changes or ())).with_settings(*first, last=last)
    experiment, runtime = request.resolve()
    sweep = SweepRequest(SWEEP, request, rows=split_rows(rows), seeds=split_seeds(seeds))
    start_s = time.monotonic()
    if not own_data:
        with _step("1. A synthetic world, written as nuScenes"):
            _make_world(Path(runtime.data_root))
    tracker = open_tracker(runtime)
    with ray_session(runtime):
        _label_and_train(experiment, runtime, tracker)
        with _step(f"4. Sweep {SWEEP!r} over Ray Tune: rows {rows}"):
            status = _sweep(sweep, experiment, runtime, tracker)
    with _step("5. Table and figures, from MLflow"):
        _tabulate(Path(out), runtime, tracker)
    write_line(f"\nEverything took {time.monotonic() - start_s:.0f} s. Next:")
    _write_next(request, runtime)
    return status


def _write_next(request: "ExperimentRequest", runtime: "Runtime") -> None:
    from olivine.experiments.requests import command

    all_rows = command("sweep", SWEEP, "--recipe", "demo", *request.arguments())
    own = command("label", "olivine", "--set", "runtime.data_root=/data/nuscenes", "--dry-run")
    write_line(f"  all rows:         {all_rows}")
    write_line(f"  the runs' page:   mlflow server --backend-store-uri {runtime.store_uri()}")
    write_line(f"  your nuScenes:    {own}")


def _label_and_train(experiment: "EvaluateConfig", runtime: "Runtime", tracker: "Tracker") -> None:
    from olivine.runners.on_ray.evaluate import evaluate_on_ray
    from olivine.runners.on_ray.label import label_on_ray
    from olivine.runners.on_ray.pretrain import pretrain_on_ray
    from olivine.training.config import label_config

    with _step("2. Weak labels, over Ray Data"):
        write_line(str(label_on_ray(label_config(experiment.pretrained), runtime, tracker)))
    together = runtime.override({"num_workers": NUM_WORKERS})
    with _step(f"3. OLIVINE pretrained and probed by {NUM_WORKERS} workers of Ray Train"):
        pretrained = pretrain_on_ray(experiment.pretrained, together, tracker)
        write_line(f"weights: {runtime.out}/{pretrained.weights}")
        scores = evaluate_on_ray(experiment, together, tracker).scores
        write_line(
            f"linear probe: {scores['miou']:.2f} % mIoU, {scores['accuracy']:.2f} % of points"
        )


def _make_world(root: Path) -> None:
    from olivine.core.progress import Progress
    from olivine.data.datasets.synthetic.config import WorldConfig
    from olivine.data.datasets.synthetic.export.writing import write_world

    processes = os.cpu_count() or 1
    write_world(WorldConfig(), root, processes, Progress("world", "keyframes"))
    write_line(f"data set: {root}")


def _sweep(
    request: "SweepRequest", experiment: "EvaluateConfig", runtime: "Runtime", tracker: "Tracker"
) -> int:
    from olivine.experiments.expanded_sweep import expand_request
    from olivine.runners.on_ray.evaluate import trial
    from olivine.runners.on_ray.sweep import run_sweep

    expanded = expand_request(request, experiment, runtime)
    outcome = run_sweep(expanded, trial, runtime, tracker, log=log.info)
    for name, reason in outcome.failures.items():
        write_line(f"failed: {name}: {reason}")
    return INCOMPLETE if outcome.failures else 0


def _tabulate(out: Path, runtime: "Runtime", tracker: "Tracker") -> None:
    from olivine.results.tables.write import write_results

    results = write_results(SWEEP, runtime, tracker, out)
    write_layout(results.layout)
    for path in results.files:
        write_line(f"wrote {path}")
    results.log(tracker)


@contextmanager
def _step(title: str) -> Iterator[None]:
    write_line(f"\n{title}")
    start_s = time.monotonic()
    yield
    write_line(f"   ({time.monotonic() - start_s:.0f} s)")
