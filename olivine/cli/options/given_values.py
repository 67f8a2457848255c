"""Checks the texts that are given on the command line: none is empty, and `~` is a home.

The commands take "" for "not given". An empty value that was given, as by `--config "$UNSET"`,
would therefore run something else than what was meant. A shell does not expand `~` in
`--folder=~/x` or in quotes.
"""

import os
from typing import Any

from olivine.core.errors import UserError

NOTHING = " \t\n,;"  # a list of separators alone is empty as well


PATHS = {"FOLDER", "FILE", "SCAN", "RUN"}  # how the help calls a value that is or may be a path


def check_given_values(command: Any) -> None:
    """Have each option and argument of a command, and of those in it, checked when it is given."""
    for parameter in command.params:
        if not getattr(parameter, "is_flag", False):
            assert parameter.callback is None, f"{parameter.name} has another callback"
            parameter.callback = _checked
    for inner in getattr(command, "commands", {}).values():
        check_given_values(inner)


def _checked(context: Any, parameter: Any, value: Any) -> Any:
    """Return a value, with `~` expanded in a path.

    Raises UserError if it was given and is empty, or has an empty item.
    """
    source = context.get_parameter_source(parameter.name)
    given = source is not None and source.name == "COMMANDLINE"
    texts = value if isinstance(value, list | tuple) else [value]
    metavar = (parameter.metavar or "value").strip("[]…")
    if given and any(isinstance(text, str) and not text.strip(NOTHING) for text in texts):
        shown = metavar if parameter.param_type_name == "argument" else parameter.opts[0]
        remedy = f"give a {metavar}" if parameter.required else f"leave it out or give a {metavar}"
        raise UserError(
            f"{shown} was given an empty value, perhaps of a variable that is not set: {remedy}."
        )
    if given and metavar in PATHS:
        paths = [os.path.expanduser(text) for text in texts]
        return paths if isinstance(value, list | tuple) else paths[0]
    return value
