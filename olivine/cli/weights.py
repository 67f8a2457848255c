"""`olivine weights list|check|fetch`: published weights of image models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from olivine.cli.options import Json
from olivine.cli.output import write_json, write_line
from olivine.core.errors import UserError

if TYPE_CHECKING:
    from olivine.models.weights import Weights

FOUND_PROBLEMS = 1
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]…", help="Weights (default: all).")
]
Place = Annotated[
    str,
    typer.Option(
        "--folder",
        help="Folder of the weights (default: $OLIVINE_WEIGHTS, else ~/.cache/olivine/weights).",
        show_default=False,
    ),
]


def list_weights(names: Names = None, folder: Place = "", as_json: Json = False) -> int:
    """List published weights: size, source, licence, and whether they are downloaded."""
    from olivine.models.weights import problems, weights_folder

    place, chosen = weights_folder(folder), _chosen(names)
    here = {one.name: not list(problems(one, place, read=False)) for one in chosen}
    if as_json:
        write_json({"folder": place, "weights": [_facts(one, here[one.name]) for one in chosen]})
        return 0
    write_line(f"Folder: {place}")
    for one in chosen:
        where = "here" if here[one.name] else "not here"
        write_line(f"\n{one.name}: {one.size_bytes / 1e6:,.0f} MB, {one.licence}, {where}")
        for file in one.files:
            write_line(f"  {file.name}\n    {file.url}")
            write_line(f"    {file.size_bytes} bytes, SHA-256 {file.sha256}")
    return 0


def check_weights(names: Names = None, folder: Place = "", as_json: Json = False) -> int:
    """Check every downloaded file of weights against its published size and hash."""
    from olivine.experiments.requests import command
    from olivine.models.weights import problems, weights_folder

    place = weights_folder(folder)
    found = {one.name: list(problems(one, place)) for one in _chosen(names)}
    num_problems = sum(map(len, found.values()))
    if as_json:
        write_json({"folder": place, "problems": found})
    else:
        for name, texts in found.items():
            for text in texts or ["whole"]:
                write_line(f"{name}: {text}")
    if num_problems and not as_json:
        broken = [name for name, texts in found.items() if texts]
        fix = command("weights", "fetch", *broken, "--folder", str(place))
        write_line(f"Problems: {num_problems}. Fix: {fix}")
    return FOUND_PROBLEMS if num_problems else 0


def fetch_weights(names: Names = None, folder: Place = "", as_json: Json = False) -> int:
    """Download weights, resuming a stopped download, and check them."""
    from olivine.core.progress import Progress
    from olivine.models.weights import fetch, published, weights_folder

    if not names:
        raise UserError(
            f"`olivine weights fetch` needs names: {', '.join(published())} (see `olivine weights "
            "list` for their sizes and licences)."
        )
    place, paths = weights_folder(folder), {}
    for one in _chosen(names):
        fetch(one, place, Progress(one.name, "bytes"))
        paths[one.name] = str(one.path(place))
        if not as_json:
            write_line(f"{one.name}: whole, {paths[one.name]}")
    if as_json:
        write_json(paths)
    return 0


def _chosen(names: Sequence[str] | None) -> "list[Weights]":
    from olivine.models.weights import find, published

    return [find(name) for name in names] if names else list(published().values())


def _facts(weights: "Weights", here: bool) -> dict[str, object]:
    files = [
        {"name": file.name, "url": file.url, "bytes": file.size_bytes, "sha256": file.sha256}
        for file in weights.files
    ]
    return {"name": weights.name, "licence": weights.licence, "here": here, "files": files}
