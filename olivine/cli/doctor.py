"""`olivine doctor`: what is installed, what is missing, and the command that helps."""

from typing import Annotated

import typer

from olivine.cli.options import Changes, Config, Json
from olivine.cli.output import write_json, write_line, write_rows

MISSING = 1
SIGNS = {"ok": "ok", "note": "–", "missing": "MISSING"}


def doctor(
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Leave out checks that import torch or contact a server.")
    ] = False,
) -> int:
    """Check versions, devices, extras, weights, data, disk, Ray and the store of runs.

    The exit status is 1 if something is missing that the command line needs.
    """
    from olivine.experiments.requests import ExperimentRequest
    from olivine.runners.doctor import examine

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    findings = examine(runtime, fast=fast)
    if as_json:
        write_json([vars(finding) for finding in findings])
    else:
        rows = [
            (finding.area, SIGNS[finding.state], finding.name, finding.detail)
            for finding in findings
        ]
        write_rows(("area", "", "what", "detail"), rows)
        for finding in findings:
            if finding.fix:
                write_line(f"{finding.name}: {finding.fix}")
    return MISSING if any(finding.state == "missing" for finding in findings) else 0
