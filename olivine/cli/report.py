"""`olivine report`: all results of a sweep on one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olivine.cli.options import Changes, Config, Folder, Json
from olivine.cli.output import write_json, write_line
from olivine.cli.stores import open_tracker
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.core.runtime import Runtime

REPORTS = "reports"  # folder below `runtime.out`
RUN_FOLDER = "report"  # folder among the artifacts of a sweep's run


def report(
    name: Annotated[
        str,
        typer.Argument(metavar="SWEEP", help="A sweep that was started.", show_default=False),
    ],
    baseline: Annotated[
        str,
        typer.Option("--baseline", metavar="ROW", help="Row to compare with.", show_default=False),
    ] = "",
    folder: Folder = "",
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write all results of a sweep as one HTML page."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.results.sweep_report.page import write_sweep_page
    from olivine.results.sweep_report.read import read_report

    request = ExperimentRequest("", config, tuple(changes or ()))
    runtime = request.resolve_runtime()
    place, tracker = _folder(folder, runtime), open_tracker(runtime)
    found = read_report(
        name, runtime, tracker, baseline=baseline.strip(), more=runtime_arguments(runtime)
    )
    path = write_sweep_page(place / f"{name}.html", found)
    tracker.log_files(found.sweep.run_id, [path], RUN_FOLDER)
    if as_json:
        counts = {"num_trials": len(found.trials), "num_finished": len(found.finished)}
        write_json({"sweep": found.name, "page": path, **counts})
        return 0
    write_line(f"{len(found.finished)} of {len(found.trials)} trials of {found.name} are finished.")
    write_line(f"Wrote {path}")
    return 0


def runtime_arguments(runtime: "Runtime") -> list[str]:
    """Return the command-line arguments of the runtime's settings that are not the defaults."""
    from olivine.core.runtime import Runtime as Usual

    usual, arguments = Usual().to_dict(), list[str]()
    for name, value in runtime.to_dict().items():
        if value != usual[name]:
            text = ",".join(value) if isinstance(value, list) else str(value)
            arguments += ["--set", f"runtime.{name}={text}"]
    return arguments


def _folder(given: str, runtime: "Runtime") -> Path:
    from olivine.core.buckets import is_bucket

    if is_bucket(given or runtime.out):
        raise UserError(
            f"A report is written to a local folder: give --folder, {given or runtime.out} is none."
        )
    return Path(given) if given else runtime.out_path(REPORTS)
