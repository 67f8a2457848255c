"""Options that `olivine embed` and `olivine predict` share."""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olivine.cli.output import write_json, write_line
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.inference.output_folder import WrittenFiles

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
    bool,
    typer.Option("--overwrite", help="Write all files again instead of only the missing ones."),
]


def network_argument(text: str) -> Any:
    """Return the argument that names a network."""
    return typer.Argument(metavar="RUN", help=text, show_default=False)


def scan_arguments(scans: list[str] | None, split: str, data: list[str] | None) -> dict[str, Any]:
    """Return the arguments of `olivine.embed` that name the scans.

    Without `--split` the data set keeps its split. Raises UserError unless one kind is given.
    """
    from olivine.core.spec import parse_settings

    if bool(scans) == bool(split or data):
        given = "both were" if scans else "neither was"
        raise UserError(
            f"Name the scans, files or folders, or a split by --split or --data; {given} given."
        )
    changes = parse_settings(data or ())
    return {"files": scans or (), "split": split, "data": changes or None}


@contextlib.contextmanager
def option_names() -> Iterator[None]:
    """Call the arguments of `olivine.embed` by the names of their options in a UserError."""
    try:
        yield
    except UserError as error:
        text = re.sub(r"^form takes", "--format takes", str(error)).replace("form=", "--format ")
        text = re.sub(r"^(dtype|outside) takes", r"--\1 takes", text)
        raise UserError(text) from None


def print_written(written: "WrittenFiles", *, as_json: bool) -> None:
    """Print the number of files that a command wrote."""
    if as_json:
        write_json(vars(written))
        return
    kept = f", {written.num_kept} were there already" if written.num_kept else ""
    write_line(f"Files written to {written.folder}: {written.num_written}{kept}.")
