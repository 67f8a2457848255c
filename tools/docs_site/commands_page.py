"""The reference of commands, from the command line itself."""

from collections.abc import Iterator
from typing import Any

import typer

from olivine.cli.main import build_app
from tools.docs_site.tables import table

INTRODUCTION = """\
# Commands

`olivine COMMAND --help` prints the same. `python -m olivine` is the same program. Before the
command stand `-v` (everything, with times), `-q` (warnings alone) and `--version`;
`olivine --install-completion` sets up completion in your shell. Results go to standard output,
everything else to standard error. The exit status is 0, 1 where something is missing or was found
wrong, and 2 for a mistake in what was given."""


def page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION]
    for name, command in commands():
        parts += [f"## olivine {name}", *_command(name, command)]
    return "\n\n".join(parts)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its words, those of a group one by one."""
    yield from _leaves(typer.main.get_command(build_app()), "")


def _leaves(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from _leaves(command, words)
        else:
            yield words, command


def _command(name: str, command: Any) -> list[str]:
    arguments = [_name_of(one) for one in command.params if one.param_type_name == "argument"]
    usage = " ".join(["olivine", name, "[OPTIONS]", *arguments])
    rows = [
        (f"`{_name_of(parameter)}`", _sentence(parameter))
        for parameter in command.params
        if parameter.name != "help"
    ]
    return [f"`{usage}`", command.help or "", table(("argument or option", "what it does"), rows)]


def _name_of(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return parameter.metavar or parameter.name.upper()
    value = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
    return f"{', '.join(parameter.opts)}{value}"


def _sentence(parameter: Any) -> str:
    text = getattr(parameter, "help", None) or ""
    default = parameter.default
    shows = getattr(parameter, "show_default", True) and not getattr(parameter, "is_flag", False)
    if shows and default not in (None, "", (), []):
        text += f" Default: `{default}`."
    return text.strip()
