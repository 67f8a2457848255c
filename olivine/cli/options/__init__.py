"""Arguments and options that several commands share."""

from collections.abc import Iterable
from typing import Annotated

import typer

from olivine.core.errors import UserError


def recipe_names(incomplete: str) -> Iterable[str]:
    """Yield the recipes that begin so, for the shell's completion."""
    from olivine.core.plugins.entry_points import offers
    from olivine.experiments.recipes import RECIPES
    from olivine.experiments.recipes_of_others import GROUP

    return (name for name in [*RECIPES, *offers(GROUP)] if name.startswith(incomplete))


def names_of_sweeps(incomplete: str) -> Iterable[str]:
    """Yield the sweeps that begin so, for the shell's completion."""
    from olivine.experiments.sweep_files import sweep_names

    return (name for name in sweep_names() if name.startswith(incomplete))


Recipe = Annotated[
    str,
    typer.Argument(
        help="A recipe by name, or FILE.py:NAME (default: demo).",
        metavar="[RECIPE]",
        autocompletion=recipe_names,
        show_default=False,
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="The recipe that the rows change (default: the sweep's).",
        autocompletion=recipe_names,
        show_default=False,
    ),
]
Config = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings from a file, as `olivine show` prints them.",
        show_default=False,
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change one setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
Force = Annotated[
    bool, typer.Option("--force", help="Run what is finished, too, instead of reusing it.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run and what it takes, and stop.")
]
Folder = Annotated[
    str, typer.Option("--folder", metavar="FOLDER", help="Where to write.", show_default=False)
]


def words(text: str, separator: str = ",") -> tuple[str, ...]:
    """Return the words of a list such as "a,b", each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(separator) if word.strip()))


def at_least(number: int, least: int, option: str) -> int:
    """Return a number; raise UserError where it is too small."""
    if number < least:
        raise UserError(f"{option} takes a number of at least {least}; it was given {number}.")
    return number
