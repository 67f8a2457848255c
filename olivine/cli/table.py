"""`olivine table`: a sweep's table and figures from the store of runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from olivine.cli.options import Changes, Config, Folder, Json, items_of
from olivine.cli.output import write_json, write_layout, write_line
from olivine.cli.stores import open_tracker
from olivine.core.errors import UserError


def _list(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, show_default=False)


Names = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help="A sweep that was run, several joined by ',', or all (every trial of the store).",
        show_default=False,
    ),
]
Rows = Annotated[str, _list("--rows", "'A;B'", "Only these rows.")]
By = Annotated[
    str,
    _list(
        "--by",
        "SETTING,…",
        "Rows are the values of these settings, or of row, method, sweep, seed, evaluation "
        "(default: row).",
    ),
]
ColumnsBy = Annotated[
    str, _list("--columns", "SETTING,…", "Columns are the values of these settings or labels.")
]
Metrics = Annotated[str, _list("--metrics", "NAME,…", "Metrics (default: the sweep's).")]
Baseline = Annotated[str, _list("--baseline", "ROW", "Row to compare with.")]
Test = Annotated[
    str,
    typer.Option(
        "--test",
        help="Test over seeds: pooled (one variance over all rows, Dunnett), t (paired), wilcoxon, "
        "or auto: pooled where the variances allow it, else t.",
    ),
]
Lower = Annotated[str, _list("--lower", "METRIC,…", "Further metrics of which lower is better.")]
Published = Annotated[
    str, _list("--published", "TABLE", "Published table to show beside it (default: the sweep's).")
]
Formats = Annotated[
    str, _list("--format", "FORMAT,…", "Formats, of md,tex,csv,html (default: all).")
]


def table(
    name: Names,
    rows: Rows = "",
    by: By = "",
    columns: ColumnsBy = "",
    metrics: Metrics = "",
    baseline: Baseline = "",
    test: Test = "auto",
    lower: Lower = "",
    published: Published = "",
    formats: Formats = "",
    folder: Folder = "",
    config: Config = "",
    changes: Changes = None,
    as_json: Json = False,
) -> int:
    """Write a sweep's table and figures, and print the table."""
    from olivine.core.buckets import is_bucket
    from olivine.experiments.requests import ExperimentRequest
    from olivine.results.tables.build import ALL, FORMATS
    from olivine.results.tables.spec import ROW, SWEEP, TableSpec
    from olivine.results.tables.write import write_results

    runtime = ExperimentRequest("", config, tuple(changes or ())).resolve_runtime()
    if is_bucket(folder or runtime.out):
        raise UserError(
            f"A table is written to a local folder: give --folder, {runtime.out} is none."
        )
    spec = TableSpec.from_dict(
        {
            "by": items_of(by) or ((SWEEP, ROW) if name == ALL else (ROW,)),
            "columns": items_of(columns),
            "metrics": items_of(metrics),
            "rows": items_of(rows, ";"),
            "baseline": baseline.strip(),
            "lower_is_better": items_of(lower),
            "test": test,
            "published": published,
        }
    )
    place, tracker = Path(folder or runtime.out), open_tracker(runtime)
    chosen = items_of(formats) or FORMATS
    results = write_results(name, runtime, tracker, place, spec=spec, formats=chosen)
    results.log(tracker)
    if as_json:
        write_json({"table": name, "files": results.files, "text": results.table})
        return 0
    write_layout(results.layout)
    for path in results.files:
        write_line(f"Wrote {path}")
    write_line(f"Next: mlflow server --backend-store-uri {runtime.store_uri()}")
    return 0
