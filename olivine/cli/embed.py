"""`olivine embed`: features of every point, one file per scan."""

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
        "A pretraining or evaluation: the beginning of its fingerprint or run id, its folder, or "
        "a file of weights."
    ),
]


def embed(
    run: Network,
    scans: Scans = None,
    folder: Target = "features",
    split: Split = "",
    data: Data = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="npz|npy", help="npz: with positions; npy: features alone."
        ),
    ] = "npz",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="float32|float16", help="Of the features.")
    ] = "float32",
    outside: Annotated[
        str,
        typer.Option(
            "--outside",
            metavar="nearest|nan",
            help="Features of a point outside the network's range: those of the nearest voxel, "
            "or not-a-number.",
        ),
    ] = "nearest",
    overwrite: Overwrite = False,
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write the features of every point of files or of a split.

    Existing files are kept, so the command continues where it was stopped.
    """
    import olivine
    from olivine.experiments.requests import ExperimentRequest

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    with option_names():
        written = olivine.embed(
            run,
            folder,
            **scan_arguments(scans, split, data),
            form=form,
            dtype=dtype,
            outside=outside,
            runtime=runtime,
            overwrite=overwrite,
        )
    print_written(written, as_json=as_json)
    return 0
