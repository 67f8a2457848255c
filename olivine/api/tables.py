"""The results of sweeps, as a pandas frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    runtime = Runtime(out=str(out), tracking_uri=tracking_uri)
    frame_of = long_frame if layout == "long" else wide_frame
    return frame_of(
        sweep, runtime, existing_run_store(runtime),
        by=_words(by), columns=_words(columns), metrics=_words(metrics), rows=_words(rows),
        baseline=baseline,
    )  # fmt: skip


def _words(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
