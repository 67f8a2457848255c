"""`olivine sweep`: every row and seed of an ablation, or the points of a search."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olivine.cli.options import (
    Changes,
    Config,
    DryRun,
    Force,
    Json,
    RecipeOption,
    complete_sweep,
)
from olivine.cli.output import log, write_json, write_layout, write_line, write_next
from olivine.cli.stores import existing_tracker, open_tracker

if TYPE_CHECKING:
    from olivine.core.runtime import Runtime
    from olivine.experiments.expanded_sweep import ExpandedSweep
    from olivine.experiments.requests import SweepRequest
    from olivine.results.tables.spec import TableSpec
    from olivine.runners.on_ray.sweep import SweepResult
    from olivine.tracking.tracker import RunRecord, Tracker

INCOMPLETE = 1
Rows = Annotated[
    str, typer.Option("--rows", metavar="'A;B'", help="Only these rows.", show_default=False)
]
Seeds = Annotated[
    str,
    typer.Option(
        "--seeds", metavar="0,1,…", help="Seeds to use instead of the sweep's.", show_default=False
    ),
]
AsName = Annotated[
    str,
    typer.Option(
        "--as", metavar="NAME", help="Name of the sweep in the store.", show_default=False
    ),
]
MaxTrials = Annotated[
    int,
    typer.Option("--max-trials", metavar="N", help="Largest number of trials to start; 0: all."),
]
MaxGpuHours = Annotated[
    float,
    typer.Option(
        "--max-gpu-hours", metavar="H", help="Device-hours after which the sweep ends; 0: no limit."
    ),
]
MaxCost = Annotated[
    float,
    typer.Option(
        "--max-cost",
        metavar="USD",
        help="Cost at which the sweep ends, by runtime.usd_per_gpu_hour; 0: no limit.",
    ),
]
MaxHours = Annotated[
    float,
    typer.Option("--max-hours", metavar="H", help="Hours after which the sweep ends; 0: no limit."),
]


def sweep(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="A sweep by name (`olivine list sweeps`), or the path of its file.",
            autocompletion=complete_sweep,
            show_default=False,
        ),
    ],
    rows: Rows = "",
    seeds: Seeds = "",
    dry_run: DryRun = False,
    recipe: RecipeOption = "",
    as_name: AsName = "",
    force: Force = False,
    max_trials: MaxTrials = 0,
    max_gpu_hours: MaxGpuHours = 0.0,
    max_cost: MaxCost = 0.0,
    max_hours: MaxHours = 0.0,
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Run the missing trials of a sweep on Ray Tune, then write its table."""
    from olivine.experiments.requests import (
        ExperimentRequest,
        SweepRequest,
        split_rows,
        split_seeds,
    )

    request = SweepRequest(
        name=name,
        experiment=ExperimentRequest(recipe, config, tuple(changes or ())),
        rows=split_rows(rows),
        seeds=split_seeds(seeds),
        as_name=as_name,
        force=force,
        limits=limits_of(max_trials, max_gpu_hours, max_cost, max_hours),
    )
    return run(request, dry_run=dry_run, as_json=as_json)


def limits_of(trials: int, gpu_hours: float, usd: float, hours: float) -> Any:
    """Return a sweep's limits; raise UserError for one below 0."""
    from olivine.experiments.limits import Limits

    given = {
        "max_trials": trials, "max_gpu_hours": gpu_hours, "max_usd": usd, "max_hours": hours,
    }  # fmt: skip
    return Limits.from_dict(given)


def run(request: "SweepRequest", *, dry_run: bool, as_json: bool, of_classes: bool = False) -> int:
    """Run a sweep and write its table, or print a preview; return the exit status."""
    from olivine.experiments.expanded_sweep import expand_request
    from olivine.experiments.sweep_files import find_sweep

    base, runtime = request.experiment.resolve(find_sweep(request.name).recipe)
    expanded = expand_request(request, base, runtime)
    if dry_run:
        return _preview(expanded, runtime, as_json)
    tracker = open_tracker(runtime)
    outcome = _ask(request, expanded, runtime, tracker)
    if as_json:
        write_json(_facts(outcome))
    else:
        _write_outcome(expanded, outcome)
        _write_table(expanded, outcome, runtime, tracker, of_classes)
        write_line(f"Runs: {runtime.store_uri()}")
        following = "report" if expanded.sweep.search else "table"
        write_next([following, expanded.sweep.name, *request.experiment.runtime_arguments()])
    return INCOMPLETE if outcome.failures or outcome.limit else 0


def _preview(expanded: "ExpandedSweep", runtime: "Runtime", as_json: bool) -> int:
    from olivine.experiments.preview import preview

    found = preview(expanded, existing_tracker(runtime))
    if as_json:
        write_json(found.to_dict())
    else:
        for line in found.lines(runtime.usd_per_gpu_hour):
            write_line(line)
    return 0


def _ask(
    request: "SweepRequest", expanded: "ExpandedSweep", runtime: "Runtime", tracker: "Tracker"
) -> "SweepResult":
    from olivine.runners.launch import launch_sweep

    return launch_sweep(
        expanded, runtime, tracker, limits=request.limits, force=request.force, log=log.info
    )


def _facts(outcome: "SweepResult") -> dict[str, Any]:
    return {
        "sweep": outcome.plan.name,
        "num_trials": len(outcome.plan.trials),
        "finished": {name: dict(run.metrics) for name, run in outcome.finished.items()},
        "failures": dict(outcome.failures),
        "overlap": {name: text for name, run in outcome.finished.items() if (text := _mark(run))},
        "num_reused": outcome.num_reused,
        "gave_up": outcome.gave_up,
        "limit": outcome.limit,
        "gpu_hours": outcome.gpu_hours,
    }


def _mark(run: "RunRecord") -> str:
    from olivine.data.scenes import overlap_mark

    return overlap_mark(run.tags, run.settings)


def _write_outcome(expanded: "ExpandedSweep", outcome: "SweepResult") -> None:
    for name, reason in outcome.failures.items():
        write_line(f"Failed: {name}: {reason}")
    gave_up = f", {outcome.gave_up} given up early" if expanded.sweep.search else ""
    write_line(
        f"{len(outcome.finished)} of {len(outcome.plan.trials)} trials are finished, "
        f"{outcome.num_reused} of them before{gave_up}; {outcome.gpu_hours:.3g} hours of devices "
        "taken now."
    )
    if outcome.limit:
        write_line(
            f"It ended before its last trial: {outcome.limit}. Continue with the same command."
        )


def _write_table(
    expanded: "ExpandedSweep",
    outcome: "SweepResult",
    runtime: "Runtime",
    tracker: "Tracker",
    of_classes: bool,
) -> None:
    from olivine.core.buckets import is_bucket
    from olivine.results.tables.spec import TableSpec

    if not outcome.finished or expanded.sweep.search or is_bucket(runtime.out):
        return
    metrics = [run.metrics for run in outcome.finished.values()]
    spec = _per_class(metrics) if of_classes else TableSpec()
    name = expanded.sweep.name
    write_results_of(name, runtime, tracker, spec, f"{name}_classes" if of_classes else name)


def _per_class(metrics: "list[Mapping[str, float]]") -> "TableSpec":
    """Return a table of the mean and of every class that has a score."""
    from olivine.results.tables.spec import TableSpec
    from olivine.training.scene_counts import IOU

    scores = dict.fromkeys(name for of_run in metrics for name in of_run)
    return TableSpec(metrics=("miou", *(name for name in scores if name.startswith(IOU))))


def write_results_of(
    name: str, runtime: "Runtime", tracker: "Tracker", spec: "TableSpec", folder: str
) -> None:
    """Write a sweep's table and figures below `out`/tables/, and print the table."""
    from olivine.results.tables.write import write_results

    results = write_results(name, runtime, tracker, Path(runtime.out, "tables", folder), spec=spec)
    write_layout(results.layout)
    write_line(f"Wrote {', '.join(str(path) for path in results.files)}")
    results.log(tracker)
