"""`olivine reproduce`: runs the sweeps of a table of the paper and writes it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from olivine.cli.options import Changes, Config, DryRun, Force, RecipeOption
from olivine.cli.output import write_line
from olivine.cli.stores import open_tracker
from olivine.cli.sweep import (
    INCOMPLETE,
    MaxCost,
    MaxGpuHours,
    MaxHours,
    MaxTrials,
    Rows,
    Seeds,
    limits_of,
    run,
    write_results_of,
)
from olivine.core.errors import UserError, nearest

if TYPE_CHECKING:
    from olivine.experiments.requests import ExperimentRequest, SweepRequest


def reproduce(
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="A table: `olivine list tables`.", show_default=False),
    ],
    rows: Rows = "",
    seeds: Seeds = "",
    dry_run: DryRun = False,
    recipe: RecipeOption = "",
    force: Force = False,
    max_trials: MaxTrials = 0,
    max_gpu_hours: MaxGpuHours = 0.0,
    max_cost: MaxCost = 0.0,
    max_hours: MaxHours = 0.0,
    semantic_kitti: Annotated[
        str,
        typer.Option(
            "--semantic-kitti",
            metavar="FOLDER",
            help="Folder of SemanticKITTI, for the tables that need it.",
            show_default=False,
        ),
    ] = "",
    config: Config = "",
    changes: Changes = None,
) -> int:
    """Run the missing trials of a table of the paper, and write it.

    The exit status is 1 if a part of the table is missing.
    """
    from olivine.experiments.requests import (
        ExperimentRequest,
        SweepRequest,
        split_rows,
        split_seeds,
    )
    from olivine.results.paper_tables import OF_CLASSES, TABLES, rows_of

    if table not in TABLES:
        raise UserError(
            f"No {table!r} to reproduce.{nearest(table, TABLES)} There are {', '.join(TABLES)}."
        )
    experiment = ExperimentRequest(recipe, config, tuple(changes or ()))
    common = SweepRequest(
        name="",
        experiment=experiment,
        seeds=split_seeds(seeds),
        force=force,
        limits=limits_of(max_trials, max_gpu_hours, max_cost, max_hours),
    )
    status, swept = 0, list[str]()
    for name, chosen in rows_of(table, split_rows(rows)).items():
        request = _request(replace(common, name=name, rows=tuple(chosen)), semantic_kitti)
        if not chosen:
            continue
        if request is None:
            write_line(
                f"{table}: left out is {name}, which reads another data set: give "
                "--semantic-kitti FOLDER"
            )
            status = INCOMPLETE
            continue
        write_line(f"{table}: olivine sweep {name}")
        done = run(request, dry_run=dry_run, as_json=False, of_classes=table in OF_CLASSES)
        status = max(status, done)
        swept.append(name)
    if not dry_run:
        _write_joint(table, swept, experiment)
    return status


def _request(request: "SweepRequest", semantic_kitti: str) -> "SweepRequest | None":
    """Return a sweep's request with the root of its other data set, or None without one."""
    from olivine.results.paper_tables import reads_semantic_kitti

    if not reads_semantic_kitti(request.name):
        return request
    roots = [f"{split}.root={semantic_kitti}" for split in ("train", "val")]
    given = any(setting.startswith("val.root=") for setting in request.experiment.settings)
    if not (semantic_kitti or given):
        return None
    more = roots if semantic_kitti else []
    return replace(request, experiment=request.experiment.with_settings(last=more))


def _write_joint(table: str, names: list[str], experiment: "ExperimentRequest") -> None:
    """Write several sweeps as one table, as the paper does."""
    from olivine.core.buckets import is_bucket
    from olivine.results.paper_tables import JOINT

    if table not in JOINT:
        return
    _, runtime = experiment.resolve()
    tracker = open_tracker(runtime)
    there = {found.settings.get("name") for found in tracker.records("sweep")}
    joint = ",".join(name for name in names if name in there)
    if joint and not is_bucket(runtime.out):
        write_results_of(joint, runtime, tracker, JOINT[table], table)
