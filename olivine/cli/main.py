"""The commands; thin. Everything heavy is imported by the command that needs it."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from olivine.core.errors import UserError, nearest

USER_ERROR, FOUND_PROBLEMS, INTERRUPTED = 2, 1, 130

EPILOG = """\
every setting has one dotted name, the same here, in a sweep, in MLflow and in a table:
  olivine show demo                                   all names and values of a recipe
  olivine pretrain demo --set pretrained.seed=1 --set runtime.num_workers=2
start with: olivine demo --out demo
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, with the nearest real name."""
        start = message.find("invalid choice: '")
        if start >= 0:
            given = message[start + 17 :].split("'", maxsplit=1)[0]
            message = f"there is no {given!r}.{nearest(given, self._choices())} There are "
            message += ", ".join(self._choices()) + "."
        elif message.startswith("unrecognized arguments: "):
            given = message.removeprefix("unrecognized arguments: ").split()[0]
            message = f"{given!r} is not known here.{nearest(given, self._option_string_actions)}"
        sys.stderr.write(f"{self.prog}: {message}\n")
        sys.exit(USER_ERROR)

    def _choices(self) -> list[str]:
        return [
            name
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name in action.choices
        ]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="olivine",
        description="Which pretraining makes a LiDAR network best with the fewest labels, and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_data(commands.add_parser("data", help="make a synthetic data set, or check a real one"))
    weights = commands.add_parser("weights", help="list, check or fetch pretrained weights")
    _add_weights(weights)
    label = commands.add_parser("label", help="write weak labels for every image, on Ray Data")
    label.add_argument(
        "--dry-run", action="store_true", help="say what is left and what it costs, and stop"
    )
    label.add_argument("--limit", type=int, metavar="N", help="label only the first N of the rest")
    label.add_argument(
        "--retry-failed", action="store_true", help="take only the images that failed before"
    )
    _add_settings(label, recipe=True)
    report = commands.add_parser(
        "label report", help="say, in numbers and pictures, how far the labels can be trusted"
    )
    report.add_argument("--frames", default="", metavar="TOKEN,…", help="draw these (default: 3)")
    report.add_argument(
        "--max-frames",
        type=int,
        default=40,
        metavar="N",
        help="count so many (default: 40; 0: all)",
    )
    report.add_argument("--folder", default="", help="(default: label_report/ below runtime.out)")
    _add_settings(report, recipe=True)
    for name, text in (
        ("pretrain", "distil images into a LiDAR network, on Ray Train"),
        ("evaluate", "pretrain if need be, then probe or fine-tune with few labels"),
        ("show", "print the resolved settings of a recipe"),
    ):
        _add_settings(commands.add_parser(name, help=text), recipe=True)
    sweep = commands.add_parser("sweep", help="run every row and seed of a question, on Ray Tune")
    sweep.add_argument("name", help="a module of sweeps/")
    _add_sweep(sweep)
    reproduce = commands.add_parser(
        "reproduce", help="run what is missing of a paper's table, and write it"
    )
    reproduce.add_argument("table", help="table1, table2, table6, table7, table9 or table10")
    reproduce.add_argument(
        "--semantic-kitti", default="", metavar="FOLDER", help="for the tables that it is part of"
    )
    _add_sweep(reproduce)
    table = commands.add_parser("table", help="write a sweep's table and figures from MLflow")
    _add_table(table)
    _add_settings(table, recipe=False)
    page = commands.add_parser("report", help="write all that a sweep found as one HTML page")
    page.add_argument("name", metavar="SWEEP", help="a sweep that was started")
    page.add_argument("--baseline", default="", metavar="ROW", help="compare with this row")
    page.add_argument("--folder", default="", help="(default: reports/ below runtime.out)")
    _add_settings(page, recipe=False)
    compare = commands.add_parser("compare", help="print what differs between two runs")
    for which in ("first", "second"):
        compare.add_argument(
            which, metavar="RUN", help="how an MLflow run id or a fingerprint begins"
        )
    _add_settings(compare, recipe=False)
    demo = commands.add_parser("demo", help="all of it on a synthetic world, in minutes")
    demo.add_argument("--out", default="demo", help="folder for everything (default: demo)")
    demo.add_argument("--rows", default="", help="rows of the sweep, separated by ';'")
    demo.add_argument("--seeds", default="", help="seeds of the sweep (default: 0,1,2)")
    _add_settings(demo, recipe=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    arguments = build_parser().parse_args(_join_command(sys.argv[1:] if argv is None else argv))
    try:
        from olivine.cli import commands

        return commands.run(arguments)
    except UserError as error:
        sys.stderr.write(f"olivine: {error}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("olivine: interrupted; the same command goes on from here.\n")
        return INTERRUPTED


def _join_command(words: Sequence[str]) -> list[str]:
    """Make one word of a command of two; argparse cannot tell its second from a recipe's name."""
    return ["label report", *words[2:]] if list(words[:2]) == ["label", "report"] else list(words)


def _add_settings(parser: argparse.ArgumentParser, recipe: bool) -> None:
    if recipe:
        parser.add_argument("recipe", nargs="?", help="a recipe (default: demo)")
    parser.add_argument("--config", help="settings from a file, as `olivine show` prints them")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting"
    )


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", default="", help="only these rows, separated by ';'")
    parser.add_argument("--seeds", default="", help="these seeds instead, such as 0,1,2")
    parser.add_argument(
        "--dry-run", action="store_true", help="print trials, what is reused, hours and cost; stop"
    )
    parser.add_argument("--recipe", help="the recipe that the rows change (default: the sweep's)")
    parser.add_argument("--as", dest="as_name", default="", metavar="NAME", help="call it so")
    parser.add_argument("--force", action="store_true", help="run what is finished, too")
    for flag, kind, what in (
        ("--max-trials", int, "start so many at most"),
        ("--max-gpu-hours", float, "end after so many hours of devices"),
        ("--max-cost", float, "end at this cost, by runtime.usd_per_gpu_hour"),
        ("--max-hours", float, "end after so many hours by the clock"),
    ):
        parser.add_argument(flag, type=kind, default=0, metavar="N", help=f"{what} (default: none)")
    _add_settings(parser, recipe=False)


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", help="a sweep that was run, several joined by ',', or all: every trial of the store"
    )
    parser.add_argument("--rows", default="", metavar="'A;B'", help="only these rows")
    parser.add_argument(
        "--by",
        default="",
        metavar="SETTING,…",
        help="rows are the values of these settings, or of row, method, sweep, seed, evaluation "
        "(default: row)",
    )
    parser.add_argument(
        "--columns", default="", metavar="SETTING,…", help="columns are the values of these"
    )
    parser.add_argument("--metrics", default="", metavar="NAME,…", help="(default: the sweep's)")
    parser.add_argument("--baseline", default="", metavar="ROW", help="compare with this row")
    parser.add_argument("--test", default="t", help="over seeds: t or wilcoxon (default: t)")
    parser.add_argument(
        "--lower", default="", metavar="METRIC,…", help="lower is better for these too"
    )
    parser.add_argument(
        "--published", default="", metavar="TABLE", help="numbers in print (default: the sweep's)"
    )
    parser.add_argument("--format", default="", help="of md,tex,csv,html (default: all)")
    parser.add_argument("--folder", default="", help="where to write (default: runtime.out)")


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "check", "fetch"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="(default: all; fetch needs some)")
    parser.add_argument(
        "--folder",
        default="",
        help="where they lie (default: $OLIVINE_WEIGHTS, else ~/.cache/olivine/weights)",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    synth = actions.add_parser("synth", help="write a synthetic nuScenes data set")
    synth.add_argument("root", help="folder to write")
    synth.add_argument("--processes", type=int, default=0, help="(default: one per core)")
    synth.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    check = actions.add_parser("check", help="list every missing, broken or inconsistent file")
    check.add_argument("root", help="folder that holds samples/ and v1.0-*/, or sequences/")
    check.add_argument("--version", default="", help="nuScenes' (default: the only one there)")
    check.add_argument("--threads", type=int, default=8)


if __name__ == "__main__":
    sys.exit(main())
