"""`olivine report`: all that a sweep found, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olivine.cli.options import Changes, Config, Folder, Json
from olivine.cli.output import write, write_json
from olivine.cli.stores import open_tracker
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.core.runtime import Runtime

REPORTS = "reports"  # folder below `runtime.out`
KEPT = "report"  # folder among the artifacts of a sweep's run


def report(
    name: Annotated[
        str,
        typer.Argument(metavar="SWEEP", help="A sweep that was started.", show_default=False),
    ],
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", metavar="ROW", help="Compare with this row.", show_default=False
        ),
    ] = "",
    folder: Folder = "",
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write all that a sweep found as one HTML page."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.results.sweep_report.page import write_sweep_page
    from olivine.results.sweep_report.read import read_report

    request = ExperimentRequest("", config, tuple(changes or ()))
    runtime = request.resolve_runtime()
    place, tracker = _folder(folder, runtime), open_tracker(runtime)
    found = read_report(
        name, runtime, tracker, baseline=baseline.strip(), more=runtime_words(runtime)
    )
    path = write_sweep_page(place / f"{name}.html", found)
    tracker.log_files(found.sweep.run_id, [path], KEPT)
    if as_json:
        counts = {"num_trials": len(found.trials), "num_finished": len(found.finished)}
        write_json({"sweep": found.name, "page": path, **counts})
        return 0
    write(f"{len(found.finished)} of {len(found.trials)} trials of {found.name} are finished.")
    write(f"Wrote {path}")
    return 0


def runtime_words(runtime: "Runtime") -> list[str]:
    """Return the words that give a command this runtime, of settings that are not usual."""
    from olivine.core.runtime import Runtime as Usual

    usual, words = Usual().to_dict(), list[str]()
    for name, value in runtime.to_dict().items():
        if value != usual[name]:
            text = ",".join(value) if isinstance(value, list) else str(value)
            words += ["--set", f"runtime.{name}={text}"]
    return words


def _folder(given: str, runtime: "Runtime") -> Path:
    from olivine.core.buckets import is_bucket

    if is_bucket(given or runtime.out):
        raise UserError(
            f"A report is written to a local folder: give --folder, {given or runtime.out} is none."
        )
    return Path(given) if given else runtime.out_path(REPORTS)
