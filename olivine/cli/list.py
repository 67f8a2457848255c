"""`olivine list`: recipes, sweeps, methods and parts, one line each."""

import ast
import inspect
from collections.abc import Iterator
from typing import Annotated

import typer

from olivine.cli.options import Json
from olivine.cli.output import write_json, write_line, write_rows
from olivine.core.errors import UserError, nearest
from olivine.core.families import FAMILIES

OTHERS = ("recipes", "sweeps", "methods", "tables", "weights")
NAMES = (*OTHERS, *FAMILIES)


def completions(incomplete: str) -> Iterator[str]:
    """Yield the things that can be listed, for the shell's completion."""
    return (what for what in NAMES if what.startswith(incomplete))


def list_names(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[WHAT]", help=f"Of {', '.join(NAMES)}.", autocompletion=completions
        ),
    ] = "",
    as_json: Json = False,
) -> int:
    """List recipes, sweeps, methods, losses and all other parts, one line each."""
    if not what:
        rows = [(name, f"olivine list {name}") for name in NAMES]
    elif what not in NAMES:
        raise UserError(f"No {what!r} to list.{nearest(what, NAMES)} There are {', '.join(NAMES)}.")
    else:
        rows = list(_listed(what))
    if as_json:
        write_json(dict(rows))
    elif rows:
        write_rows((what or "what", "what it is"), rows)
    else:
        write_line(f"There are no {what}.")
    return 0


def _listed(what: str) -> Iterator[tuple[str, str]]:
    if what in FAMILIES:
        return _kinds(what)
    return {
        "recipes": _recipes,
        "sweeps": _sweeps,
        "methods": _methods,
        "tables": _tables,
        "weights": _weights,
    }[what]()


def _kinds(family: str) -> Iterator[tuple[str, str]]:
    from olivine.core.families import family_named
    from olivine.core.parts import members, part_class

    base = family_named(family)
    for member in members(base):
        try:
            part = part_class(base, member.kind)
        except UserError as error:  # of a package that cannot be imported
            yield member.kind, str(error)
            continue
        text = first_line(inspect.getdoc(inspect.getmodule(part)) or inspect.getdoc(part))
        yield member.kind, f"{text} ({member.package})" if member.package else text


def _recipes() -> Iterator[tuple[str, str]]:
    from olivine.experiments.plugin_recipes import offered_recipes
    from olivine.experiments.recipes import RECIPES

    for name, function in RECIPES.items():
        yield name, first_line(function.__doc__)
    for name, note, function in offered_recipes(RECIPES):
        text = function if isinstance(function, str) else first_line(inspect.getdoc(function))
        yield name, f"{text} ({note})"


def _sweeps() -> Iterator[tuple[str, str]]:
    """Yield sweeps and their questions; their files are parsed, not run."""
    from olivine.experiments.sweep_files import (
        find_sweep,
        hidden_sweeps,
        sweep_file,
        sweep_names,
    )

    for name in sweep_names():
        try:
            path = sweep_file(name)
            if path is None:  # a package's
                text = find_sweep(name).question.strip()
            else:
                text = ast.get_docstring(ast.parse(path.read_text())) or ""
        except (SyntaxError, UserError) as error:
            text = f"cannot be read: {error}"
        yield name, first_line(text)
    for hidden in hidden_sweeps():
        try:
            text = find_sweep(hidden.location).question.strip()
        except UserError as error:
            text = f"cannot be read: {error}"
        yield hidden.location, f"{first_line(text)} ({hidden.note})"


def _methods() -> Iterator[tuple[str, str]]:
    from olivine.methods import catalogue

    for name, function in vars(catalogue).items():
        if name.endswith("_method"):
            yield name.removesuffix("_method"), first_line(function.__doc__)


def _tables() -> Iterator[tuple[str, str]]:
    from olivine.results.paper_tables import TABLES

    for name, sweeps in TABLES.items():
        yield name, f"sweeps {', '.join(sweeps)}"


def _weights() -> Iterator[tuple[str, str]]:
    from olivine.models.weights import published

    for name, weights in published().items():
        yield name, f"{weights.size_bytes / 1e6:,.0f} MB, {weights.licence}"


def first_line(text: str | None) -> str:
    """Return the first line of a docstring."""
    return (text or "").strip().partition("\n")[0]
