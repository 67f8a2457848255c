"""The results of sweeps, as a pandas frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from olivine.core.arguments import require_type, several
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.tracking.run_store import existing_run_store

if TYPE_CHECKING:
    import pandas as pd


def table(
    sweep: str = "all",
    *,
    by: Sequence[str] = (),
    columns: Sequence[str] = (),
    metrics: Sequence[str] = (),
    rows: Sequence[str] = (),
    baseline: str = "",
    layout: str = "long",
    out: str | Path = "runs",
    tracking_uri: str = "",
) -> "pd.DataFrame":
    """Return the table of a sweep, of several joined by ",", or of all trials, as a pandas frame.

    A row is a combination of values of `by`, a column one of `columns`: dotted names of settings,
    or row, method, sweep, seed, evaluation. `rows` keeps some rows; `baseline` is the row with
    which the others are compared. The layout "long" has a line for each row, column and metric:
    mean and std over n seeds, the reason for a missing mean, the comparison with the baseline and
    the number in print, under the names of `olivine table`'s CSV. The layout "wide" has a line for
    each row and a column for each metric (of each column), which holds the mean. Raises UserError
    for an unknown sweep, row, setting or metric, or if nothing has finished.
    """
    from olivine.results.tables.frame import long_frame, wide_frame

    if layout not in ("long", "wide"):
        raise UserError(f"layout takes 'long' or 'wide'; it was given {layout!r}.")
    for name, given in (("sweep", sweep), ("baseline", baseline), ("tracking_uri", tracking_uri)):
        require_type(name, given, str, "a text")
    require_type("out", out, (str, Path), "a folder or the URI of a bucket")
    runtime = Runtime(out=str(out), tracking_uri=tracking_uri)
    frame_of = long_frame if layout == "long" else wide_frame
    lists = {"by": by, "columns": columns, "metrics": metrics, "rows": rows}
    names = {name: several(name, given, str, "names") for name, given in lists.items()}
    return frame_of(sweep, runtime, existing_run_store(runtime), baseline=baseline, **names)
