"""Refuses empty values on the command line.

The commands take "" for "not given". An empty value that was given, as by `--config "$UNSET"`,
would therefore run something else than what was meant.
"""

from typing import Any

from olivine.core.errors import UserError

NOTHING = " \t\n,;"  # a list of separators alone is empty as well


def refuse_empty_values(command: Any) -> None:
    """Have each option and argument of a command, and of those in it, refuse an empty text."""
    for parameter in command.params:
        if not getattr(parameter, "is_flag", False):
            assert parameter.callback is None, f"{parameter.name} has another callback"
            parameter.callback = _not_empty
    for inner in getattr(command, "commands", {}).values():
        refuse_empty_values(inner)


def _not_empty(context: Any, parameter: Any, value: Any) -> Any:
    """Return a value; raise UserError if it was given and is empty, or has an empty item."""
    source = context.get_parameter_source(parameter.name)
    given = source is not None and source.name == "COMMANDLINE"
    texts = value if isinstance(value, list | tuple) else [value]
    if given and any(isinstance(text, str) and not text.strip(NOTHING) for text in texts):
        metavar = (parameter.metavar or "value").strip("[]…")
        shown = metavar if parameter.param_type_name == "argument" else parameter.opts[0]
        remedy = f"give a {metavar}" if parameter.required else f"leave it out or give a {metavar}"
        raise UserError(
            f"{shown} was given an empty value, perhaps of a variable that is not set: {remedy}."
        )
    return value
