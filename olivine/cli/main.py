"""The command line; every command is a small module of its own.

Slow imports are made by the commands that need them.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from olivine.cli import (
    compare,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    label,
    new,
    predict,
    pretrain,
    report,
    reproduce,
    show,
    sweep,
    table,
    weights,
)
from olivine.cli import list as listing
from olivine.cli.options.given_values import check_given_values
from olivine.cli.output import library_log
from olivine.core.errors import UserError, nearest
from olivine.core.streams import steady_streams

USER_ERROR, INTERRUPTED = 2, 130
# A command of two words; the first is a command too, which would take the second as a recipe.
LABEL_REPORT = ("label", "report")

EPILOG = (
    "Every setting has one dotted name, the same here, in a sweep, in MLflow and in a table: "
    "`olivine show demo` prints all of a recipe, `olivine pretrain demo --set pretrained.seed=1` "
    "changes one. Start with `olivine demo --out demo`."
)


class _Commands(TyperGroup):
    """A group that suggests the nearest command for an unknown one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the first argument; raise UserError if there is none."""
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names:
            raise UserError(
                f"There is no command `{ctx.command_path} {args[0]}`.{nearest(args[0], names)} "
                f"There are {', '.join(names)}."
            )
        return super().resolve_command(ctx, args)


def _version(wanted: bool) -> None:
    if wanted:
        from olivine import __version__

        sys.stdout.write(f"olivine {__version__}\n")
        raise typer.Exit


def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print all messages, with times.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only warnings, no progress.")
    ] = False,
) -> None:
    """Which pretraining makes a LiDAR network best with the fewest labels, and why."""
    context.with_resource(library_log(1 if verbose else -1 if quiet else 0))


def build_app() -> typer.Typer:
    """Return the application of all commands."""
    app = typer.Typer(
        name="olivine", cls=_Commands, epilog=EPILOG, no_args_is_help=True, rich_markup_mode="rich"
    )
    app.callback()(_options)
    chain, results, use = "The chain", "What was found", "A network in use"
    around = "Around it"
    app.command("demo", rich_help_panel=chain)(demo.demo)
    app.command("label", rich_help_panel=chain)(label.label)
    app.command(" ".join(LABEL_REPORT), rich_help_panel=chain)(label.report)
    app.command("pretrain", rich_help_panel=chain)(pretrain.pretrain)
    app.command("evaluate", rich_help_panel=chain)(evaluate.evaluate)
    app.command("sweep", rich_help_panel=chain)(sweep.sweep)
    app.command("reproduce", rich_help_panel=chain)(reproduce.reproduce)
    app.command("table", rich_help_panel=results)(table.table)
    app.command("report", rich_help_panel=results)(report.report)
    app.command("compare", rich_help_panel=results)(compare.compare)
    app.command("embed", rich_help_panel=use)(embed.embed)
    app.command("predict", rich_help_panel=use)(predict.predict)
    app.command("list", rich_help_panel=around)(listing.list_names)
    app.command("show", rich_help_panel=around)(show.show)
    app.command("new", rich_help_panel=around)(new.new)
    app.command("doctor", rich_help_panel=around)(doctor.doctor)
    app.add_typer(_data(), rich_help_panel=around)
    app.add_typer(_weights(), rich_help_panel=around)
    return app


def _data() -> typer.Typer:
    group = _group("data", "Make a synthetic data set, or check a real one.")
    group.command("synth")(data.synth)
    group.command("check")(data.check)
    return group


def _weights() -> typer.Typer:
    group = _group("weights", "List, check or fetch pretrained weights.")
    group.command("list")(weights.list_weights)
    group.command("check")(weights.check_weights)
    group.command("fetch")(weights.fetch_weights)
    return group


def _group(name: str, text: str) -> typer.Typer:
    return typer.Typer(name=name, help=text, cls=_Commands, no_args_is_help=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    steady_streams()
    arguments = _joined(list(sys.argv[1:] if argv is None else argv))
    command = typer.main.get_command(build_app())
    _leave_out_types_of_flags(command)
    check_given_values(command)
    try:
        status = command.main(arguments, prog_name="olivine", standalone_mode=False)
        return int(status or 0)
    except UserError as error:
        return _fail(f"olivine: {error}")
    except typer.TyperException as error:  # an argument that no option or parameter takes
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "olivine"
        message = " ".join(error.format_message().split())
        return _fail(f"{where}: {message}") if message else USER_ERROR  # then it has shown the help
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("olivine: interrupted; the same command goes on from here.\n")
        return INTERRUPTED
    except Exception as error:
        from olivine.core.user_parts import error_of_user_code

        if mistake := error_of_user_code(error):
            return _fail(f"olivine: {mistake}")
        raise
    finally:
        from olivine.core.progress import end_bars

        end_bars()


def _leave_out_types_of_flags(command: Any) -> None:
    """Have `--help` name no type of options that take no value, of this command and those in it."""
    for option in (*command.params, command.get_help_option(typer.Context(command))):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for inner in getattr(command, "commands", {}).values():
        _leave_out_types_of_flags(inner)


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return USER_ERROR


def _joined(arguments: list[str]) -> list[str]:
    """Join a command of two words into one argument; options of olivine may precede it."""
    named = [i for i, text in enumerate(arguments) if not text.startswith("-")]
    first = named[0] if named else len(arguments)
    if tuple(arguments[first : first + 2]) == LABEL_REPORT:
        return [*arguments[:first], " ".join(LABEL_REPORT), *arguments[first + 2 :]]
    return arguments


def run() -> None:
    """Run the command of this process, and exit with its status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
