"""The output of commands: results on standard output, messages on standard error."""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from olivine.results.tables.text import Layout, TextCell, TextTable

log = logging.getLogger("olivine")

IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for a job's entry point
JOBS = ("label", "pretrain", "evaluate", "sweep", "table")  # commands that can be Ray jobs

SENTENCE_WIDTH = 28  # characters that a column of sentences needs


def write_line(text: str) -> None:
    """Write a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Write a result as JSON."""
    write_line(json.dumps(value, indent=2, default=str))


def write_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows under their columns: by Rich on a terminal, in plain columns elsewhere."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    if sys.stdout.isatty():
        _print_rows(columns, rows, sum(widths[:-1]))
        return
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        write_line("  ".join(cells).rstrip())


def _print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]], needed: int) -> None:
    """Print rows whose last cell may wrap; without room for the others, cells are stacked."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if needed + 2 * len(columns) + SENTENCE_WIDTH <= console.width:
        table = Table(box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, no_wrap=name != columns[-1])
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    for first, *others in rows:
        console.print(Text(first, style="bold"))
        for cell in filter(None, others):
            console.print(Padding(Text(cell), (0, 0, 0, 4)))


def write_layout(layout: "Layout") -> None:
    """Write a table of results: by Rich on a terminal, as Markdown elsewhere."""
    from olivine.results.tables.formats import PRINT_NOTE, markdown

    if not sys.stdout.isatty():
        write_line(markdown(layout))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    items = [Text("• ") + _with_code(line) for line in layout.sources]
    absent = [Text("• ") + _with_code(line) for line in layout.missing]
    parts: list[Any] = [Text(layout.title, style="bold"), _rich_table(layout.scores, console)]
    parts += map(_with_code, layout.remarks)
    if layout.differences is not None:
        parts += [
            _rich_table(layout.differences, console),
            *map(_with_code, layout.difference_remarks),
        ]
    parts += [Text(PRINT_NOTE), Text("\n").join(items)] if items else []
    parts += [Text("Missing:"), Text("\n").join(absent)] if absent else []
    for part in parts:
        console.print(part, highlight=False)
        console.print()


def _rich_table(texts: "TextTable", console: "Console") -> Any:
    """Return a table whose best scores are bold, the second best underlined.

    Where it is wider than the terminal, its lines are written below each other.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    lines = [[Text(cell.text, style=_style(cell)) for cell in line] for line in texts.lines]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(texts.header):
        side: Any = "left" if index in texts.text_columns else "right"
        table.add_column(Text(name), justify=side, no_wrap=True)
    for line in lines:
        table.add_row(*line)
    room = console.options.update(max_width=10_000)
    if Measurement.get(console, room, table).maximum <= console.width:
        return table
    blocks: list[Any] = []
    for line in lines:
        block = Table(box=None, show_header=False, padding=(0, 2))
        for name, cell in zip(
            texts.header[texts.num_labels :], line[texts.num_labels :], strict=True
        ):
            block.add_row(Text(name), cell)
        blocks += [Text(", ").join(line[: texts.num_labels]), block]
    return Group(*blocks)


def _style(cell: "TextCell") -> str:
    if cell.is_best:
        return "bold"
    return "underline" if cell.is_second else "dim italic" if cell.is_missing else ""


def _with_code(sentence: str) -> "Text":
    """Return a sentence whose `code` between backticks stands out."""
    from rich.text import Text

    from olivine.results.words import code_parts

    return Text.assemble(
        *((part, "bold" if is_code else "") for part, is_code in code_parts(sentence))
    )


def write_next(arguments: Sequence[str]) -> None:
    """Write the next command, if there is one where this one runs.

    `arguments` follow "olivine". In a job, paths are those of the cluster, so the next command is a
    job as well.
    """
    from olivine.experiments.requests import command

    if IN_JOB not in os.environ:
        write_line(f"Next: {command(*arguments)}")
    elif arguments[0] in JOBS and arguments[:2] != ["label", "report"]:
        job = command(*arguments[1:]).removeprefix("olivine ")
        module = f"ray_jobs.{arguments[0]}"
        write_line(f"Next: ray job submit --working-dir . -- python -m {module} {job}")


@contextmanager
def library_log(verbosity: int) -> Iterator[None]:
    """Write the library's messages to standard error: -1 only warnings, 0 usual, 1 all.

    Afterwards its logger is as it was: a program that runs a command keeps its own handlers.
    """
    handler = _Handler(sys.stderr)
    text = "%(asctime)s %(name)s: %(message)s" if verbosity > 0 else "%(message)s"
    handler.setFormatter(logging.Formatter(text))
    handlers, propagate, level = log.handlers, log.propagate, log.level
    log.handlers, log.propagate = [handler], False
    log.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


class _Handler(logging.StreamHandler):
    """Writes to the current standard error, which tests and progress bars replace."""

    @property
    def stream(self) -> Any:
        """The stream to write to."""
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        """Ignore the stream of the start."""


def scores_table(scores: Mapping[str, float], overlap: str = "") -> list[tuple[str, str]]:
    """Return names and values of scores in percent, as rows, marked if there is an overlap."""
    from olivine.results.words import marked

    return [(name, marked(f"{score:6.2f} %", overlap)) for name, score in scores.items()]
