"""`olivine predict`: the class of every point, a file a scan."""

from typing import Annotated

import typer

from olivine.cli.options import Changes, Config, Json
from olivine.cli.options.scans import (
    Data,
    Overwrite,
    Scans,
    Split,
    Target,
    network_argument,
    what_to_read,
    write_written,
)

Network = Annotated[
    str,
    network_argument("An evaluation: how its fingerprint or run id begins, its folder, or a file."),
]


def predict(
    run: Network,
    scans: Scans = None,
    folder: Target = "predictions",
    split: Split = "",
    data: Data = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="auto|nuscenes|semantic_kitti|npy",
            help="Format; auto is that of the data set whose classes the network has.",
        ),
    ] = "auto",
    overwrite: Overwrite = False,
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write the class of every point of files or of a split, in the benchmarks' formats.

    What is in the folder already is kept, so the command continues where it was stopped.
    """
    import olivine
    from olivine.experiments.requests import ExperimentRequest

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    written = olivine.predict(
        run,
        folder,
        **what_to_read(scans, split, data),
        form=form,
        runtime=runtime,
        overwrite=overwrite,
    )
    write_written(written, as_json=as_json)
    return 0
