"""`olivine table`: from words on a command line to a table in files."""

import sys
from argparse import Namespace
from pathlib import Path

from olivine.cli.settings import open_tracker, resolve
from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.results.tables.spec import ROW, SWEEP, TableSpec


def run(arguments: Namespace) -> int:
    """Write the table and its figures, and print it."""
    from olivine.results.tables.build import ALL, FORMATS
    from olivine.results.tables.write import write_results

    _, runtime = resolve(arguments)
    if is_bucket(arguments.folder or runtime.out):
        raise UserError(
            f"A table is written to a local folder: give --folder, {runtime.out} is none."
        )
    by = _words(arguments.by) or ((SWEEP, ROW) if arguments.name == ALL else (ROW,))
    spec = TableSpec.from_dict(
        {
            "by": by,
            "columns": _words(arguments.columns),
            "metrics": _words(arguments.metrics),
            "rows": _words(arguments.rows, ";"),
            "baseline": arguments.baseline.strip(),
            "lower_is_better": _words(arguments.lower),
            "test": arguments.test,
            "published": arguments.published,
        }
    )
    folder = Path(arguments.folder or runtime.out)
    formats = _words(arguments.format) or FORMATS
    tracker = open_tracker(runtime)
    results = write_results(arguments.name, runtime, tracker, folder, spec=spec, formats=formats)
    sys.stdout.write(f"{results.table}\n")
    for path in results.files:
        sys.stdout.write(f"Wrote {path}\n")
    results.keep(tracker)
    sys.stdout.write(f"Next: mlflow server --backend-store-uri {runtime.store_uri()}\n")
    return 0


def _words(text: str, separator: str = ",") -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(separator) if word.strip()))
