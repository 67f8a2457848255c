"""`olivine embed`: features of every point, a file a scan."""

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
    network_argument(
        "A pretraining or evaluation: how its fingerprint or run id begins, its folder, or a file "
        "of weights."
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
        typer.Option("--format", metavar="npz|npy", help="npz: with positions; npy: alone."),
    ] = "npz",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="float32|float16", help="Of the features.")
    ] = "float32",
    outside: Annotated[
        str,
        typer.Option(
            "--outside",
            metavar="nearest|nan",
            help="What a point outside the network's range gets: the features of the nearest "
            "voxel, or not-a-number.",
        ),
    ] = "nearest",
    overwrite: Overwrite = False,
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write the features of every point of files or of a split.

    What is in the folder already is kept, so the command continues where it was stopped.
    """
    import olivine
    from olivine.experiments.requests import ExperimentRequest

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    written = olivine.embed(
        run,
        folder,
        **what_to_read(scans, split, data),
        form=form,
        dtype=dtype,
        outside=outside,
        runtime=runtime,
        overwrite=overwrite,
    )
    write_written(written, as_json=as_json)
    return 0
