"""The commands about published weights: list them, check a folder of them, fetch them."""

import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from olivine.core.errors import UserError
from olivine.core.progress import Progress
from olivine.models.weights import Weights, fetch, find, problems, published, weights_folder

OK, FOUND_PROBLEMS = 0, 1


def run(arguments: Namespace) -> int:
    """Run `olivine weights ACTION`; return its exit status."""
    chosen = [find(name) for name in arguments.names]
    folder = weights_folder(arguments.folder)
    if arguments.action == "fetch":
        return _fetch(chosen, folder)
    chosen = chosen or list(published().values())
    return _list(chosen, folder) if arguments.action == "list" else _check(chosen, folder)


def _list(chosen: Iterable[Weights], folder: Path) -> int:
    sys.stdout.write(f"Folder: {folder}\n")
    for weights in chosen:
        here = "here" if not list(problems(weights, folder, read=False)) else "not here"
        sys.stdout.write(
            f"\n{weights.name}: {weights.size_bytes / 1e6:,.0f} MB, {weights.licence}, {here}\n"
        )
        for file in weights.files:
            sys.stdout.write(
                f"  {file.name}\n    {file.url}\n    {file.size_bytes} bytes, "
                f"SHA-256 {file.sha256}\n"
            )
    return OK


def _check(chosen: Iterable[Weights], folder: Path) -> int:
    num_problems = 0
    for weights in chosen:
        found = list(problems(weights, folder))
        num_problems += len(found)
        for problem in found or ("whole",):
            sys.stdout.write(f"{weights.name}: {problem}\n")
    if num_problems:
        sys.stdout.write(
            f"Problems: {num_problems}. Mend: `olivine weights fetch NAME --folder {folder}`.\n"
        )
    return FOUND_PROBLEMS if num_problems else OK


def _fetch(chosen: Iterable[Weights], folder: Path) -> int:
    if not chosen:
        raise UserError(
            f"`olivine weights fetch` needs names: {', '.join(published())} (see `olivine weights "
            "list` for their sizes and licences)."
        )
    for weights in chosen:
        fetch(weights, folder, Progress(weights.name, "bytes"))
        sys.stdout.write(f"{weights.name}: whole, {weights.path(folder)}\n")
    return OK
