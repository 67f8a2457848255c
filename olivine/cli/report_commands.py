"""`olivine report` and `olivine compare`: what a sweep found on one page, two runs side by side."""

import sys
from argparse import Namespace
from pathlib import Path

from olivine.cli.settings import open_tracker, resolve
from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.tracking.tracker import Columns

REPORTS = "reports"  # folder below `runtime.out`
KEPT = "report"  # folder among the artifacts of a sweep's run


def report(arguments: Namespace) -> int:
    """Write a sweep's page; return the command's exit status."""
    from olivine.results.sweep_report.page import write_page
    from olivine.results.sweep_report.read import read_report

    _, runtime = resolve(arguments)
    folder = _folder(arguments.folder, runtime)
    tracker = open_tracker(runtime)
    found = read_report(
        arguments.name,
        runtime,
        tracker,
        baseline=arguments.baseline.strip(),
        more=runtime_words(runtime),
    )
    path = write_page(folder / f"{arguments.name}.html", found)
    sys.stdout.write(
        f"{len(found.finished)} of {len(found.trials)} trials of {found.name} are finished.\n"
        f"Wrote {path}\n"
    )
    tracker.log_files(found.sweep.run_id, [path], KEPT)
    return 0


def compare(arguments: Namespace) -> int:
    """Print what differs between two runs; return the command's exit status."""
    from olivine.results import compare_runs as runs
    from olivine.tracking.mlflow_backend.inputs import inputs_of
    from olivine.tracking.store_uri import shown

    _, runtime = resolve(arguments)
    tracker = open_tracker(runtime)
    every = tracker.records(columns=Columns(settings=(), metrics=(), tags=()))
    chosen = runs.find_runs((arguments.first, arguments.second), every, shown(runtime.store_uri()))
    prints = {run.key.fingerprint for run in chosen}
    whole = {run.run_id: run for run in tracker.records(fingerprints=prints)}
    inputs = tuple(inputs_of(runtime.store_uri(), run.run_id) for run in chosen)
    first, second = (whole[run.run_id] for run in chosen)
    comparison = runs.compare(first, second, (inputs[0], inputs[1]))
    sys.stdout.write("\n".join(runs.lines(comparison)) + "\n")
    return 0


def runtime_words(runtime: Runtime) -> list[str]:
    """Return the words that give a command this runtime."""
    usual = Runtime().override({"allow": ()}).to_dict()
    words = []
    for name, value in runtime.to_dict().items():
        if value != usual[name]:
            text = ",".join(value) if isinstance(value, list) else str(value)
            words += ["--set", f"runtime.{name}={text}"]
    return words


def _folder(given: str, runtime: Runtime) -> Path:
    if is_bucket(given or runtime.out):
        raise UserError(
            f"A report is written to a local folder: give --folder, {given or runtime.out} is none."
        )
    return Path(given) if given else runtime.out_path(REPORTS)
