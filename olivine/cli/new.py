"""`olivine new`: a user's part, recipe or sweep, and its test."""

import shlex
from collections.abc import Iterable
from typing import Annotated

import typer

from olivine.cli.options import Json
from olivine.cli.output import write_json, write_line


def complete_template(incomplete: str) -> Iterable[str]:
    """Yield the names of the templates, for the shell's completion."""
    from olivine.experiments.scaffold import USES

    return (what for what in USES if what.startswith(incomplete))


def new(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="loss, backbone, labeller, dataset, sweep, recipe, sampler, …",
            autocompletion=complete_template,
            show_default=False,
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the file, such as my_loss; the class is then MyLoss."
        ),
    ],
    folder: Annotated[
        str, typer.Option("--folder", metavar="FOLDER", help="Where to write.")
    ] = ".",
    as_json: Json = False,
) -> int:
    """Write a part, a recipe or a sweep of your own, and a test that passes.

    Nothing is overwritten.
    """
    from olivine.experiments.scaffold import write_new

    written = write_new(what, name, folder)
    if as_json:
        facts = {"part": str(written.part), "test": str(written.test), "use": written.use}
        write_json(facts)
        return 0
    write_line(f"Wrote {written.part} and {written.test}.")
    write_line(f"Test it: {shlex.join(['python', '-m', 'pytest', str(written.test)])}")
    write_line(f"Use it:  {written.use}")
    return 0
