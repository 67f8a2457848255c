"""`olivine compare`: the differences between two runs."""

from typing import Annotated

import typer

from olivine.cli.options import Changes, Config, Json
from olivine.cli.output import write_json, write_line
from olivine.cli.stores import open_tracker

RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The beginning of an MLflow run id or of a fingerprint.",
        show_default=False,
    ),
]


def compare(
    first: RunId, second: RunId, config: Config = "", changes: Changes = None, as_json: Json = False
) -> int:
    """Print the differences between two runs: settings, data, code, machine, scores."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.results import compare_runs as runs
    from olivine.tracking.mlflow_backend.inputs import inputs_of
    from olivine.tracking.store_uri import without_password
    from olivine.tracking.tracker import Columns

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    tracker = open_tracker(runtime)
    every = tracker.records(columns=Columns(settings=(), metrics=(), tags=()))
    chosen = runs.find_runs((first, second), every, without_password(runtime.store_uri()))
    prints = {run.key.fingerprint for run in chosen}
    whole = {run.run_id: run for run in tracker.records(fingerprints=prints)}
    one, two = (whole[run.run_id] for run in chosen)
    inputs = tuple(inputs_of(runtime.store_uri(), run.run_id) for run in chosen)
    comparison = runs.compare(one, two, (inputs[0], inputs[1]))
    if as_json:
        differences = {
            aspect.name: list(map(vars, aspect.differences)) for aspect in comparison.aspects
        }
        facts = {"first": one.run_id, "second": two.run_id, "note": comparison.note}
        write_json({**facts, "differences": differences})
    else:
        write_line("\n".join(runs.lines(comparison)))
    return 0
