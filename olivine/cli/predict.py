"""`olivine predict`: the class of every point, one file per scan."""

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
    option_names,
    print_written,
    scan_arguments,
)

Network = Annotated[
    str,
    network_argument(
        "An evaluation: the beginning of its fingerprint or run id, its folder, or a file."
    ),
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
            help="Format; auto is the format of the data set with the network's classes.",
        ),
    ] = "auto",
    overwrite: Overwrite = False,
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write the class of every point of files or of a split, in the benchmarks' formats.

    Existing files are kept, so the command continues where it was stopped.
    """
    import olivine
    from olivine.experiments.requests import ExperimentRequest

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    with option_names():
        written = olivine.predict(
            run,
            folder,
            **scan_arguments(scans, split, data),
            form=form,
            runtime=runtime,
            overwrite=overwrite,
        )
    print_written(written, as_json=as_json)
    return 0
