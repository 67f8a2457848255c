"""What `olivine embed` and `olivine predict` share: which scans, of which data, to which folder."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from olivine.cli.output import write, write_json
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.inference.output_folder import Written

Scans = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SCAN",
        help="Files or folders of them: nuScenes' .pcd.bin, SemanticKITTI's .bin, .npy.",
        show_default=False,
    ),
]
Target = Annotated[
    str, typer.Option("--folder", metavar="FOLDER", help="Folder or bucket to write to.")
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help="All frames of a split instead of files.",
        show_default=False,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="NAME=VALUE",
        help="Change a setting of the network's data set, such as version; may be repeated.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Begin anew instead of writing what is missing.")
]


def network_argument(text: str) -> Any:
    """Return the argument that names a network."""
    return typer.Argument(metavar="RUN", help=text, show_default=False)


def what_to_read(scans: list[str] | None, split: str, data: list[str] | None) -> dict[str, Any]:
    """Return the scans as `olivine.embed` takes them; raise UserError for none or for both kinds.

    Settings of a data set without `--split` are of the split that it had.
    """
    from olivine.core.spec import parse_settings

    if bool(scans) == bool(split or data):
        given = "both were" if scans else "neither was"
        raise UserError(
            f"Name the scans, files or folders, or a split by --split or --data; {given} given."
        )
    changes = parse_settings(data or ())
    return {"files": scans or (), "split": split, "data": changes or None}


def write_written(written: "Written", *, as_json: bool) -> None:
    """Write what a command left in its folder."""
    if as_json:
        write_json(vars(written))
        return
    kept = f", {written.num_kept} were there already" if written.num_kept else ""
    write(f"Files written to {written.folder}: {written.num_written}{kept}.")
