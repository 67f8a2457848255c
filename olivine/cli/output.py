"""The output of commands: results on standard output, messages on standard error."""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

log = logging.getLogger("olivine")

IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for a job's entry point
JOBS = ("label", "pretrain", "evaluate", "sweep", "table")  # commands that can be Ray jobs


def write_line(text: str) -> None:
    """Write a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Write a result as JSON."""
    write_line(json.dumps(value, indent=2, default=str))


def write_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows under their columns: by Rich on a terminal, in plain columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        write_line("  ".join(cells).rstrip())


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


def set_up_logging(verbosity: int) -> None:
    """Write the library's messages to standard error: -1 only warnings, 0 usual, 1 all."""
    handler = _Handler(sys.stderr)
    text = "%(asctime)s %(name)s: %(message)s" if verbosity > 0 else "%(message)s"
    handler.setFormatter(logging.Formatter(text))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))


class _Handler(logging.StreamHandler):
    """Writes to the current standard error, which tests and progress bars replace."""

    @property
    def stream(self) -> Any:
        """The stream to write to."""
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        """Ignore the stream of the start."""


def scores_table(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return names and values of scores in percent, as rows."""
    return [(name, f"{score:6.2f} %") for name, score in scores.items()]
