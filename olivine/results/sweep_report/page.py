"""The page of a sweep's report: the values of its template, from a `SweepReport`."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.offline
from markupsafe import Markup

from olivine.core.storage import Store
from olivine.results import html
from olivine.results.colours import LineStyle, line_styles
from olivine.results.metrics import metric_label
from olivine.results.sweep_report.charts import (
    MAX_BARS,
    importance_bars,
    learning_curves_chart,
    score_against_cost,
)
from olivine.results.sweep_report.curves import MAX_METHODS
from olivine.results.sweep_report.parallel_coordinates import parallel_coordinates
from olivine.results.sweep_report.read import SweepReport
from olivine.results.sweep_report.trials import (
    DEVICE_TIME,
    GIVEN_UP,
    NEVER_STARTED,
    TrialFacts,
)
from olivine.results.tables.formats import html_parts
from olivine.results.tables.spec import UNKNOWN
from olivine.results.tables.table import num_decimals
from olivine.results.tables.text import lay_out
from olivine.results.words import ABSENT, marked, overlap_remark
from olivine.tracking.tracker import FAILURE

NUM_SHOWN = 10  # trials or commands before the rest is collapsed
LONG = 20  # characters of a text beyond which it is broken into lines


def write_sweep_page(path: Path, report: SweepReport) -> Path:
    """Write the page atomically."""
    Store(path.parent).write(path.name, sweep_page_html(report).encode())
    return path


def sweep_page_html(report: SweepReport) -> str:
    """Return the page as HTML that needs no other file and no network."""
    styles = _styles(report)
    cost, settings = _cost(report, styles), _settings(report)
    curves = [learning_curves_chart(one, styles) for one in report.curves]
    return html.render(
        "sweep_report.html.j2",
        title=f"Sweep {report.name}",
        report=report,
        metric=metric_label(report.metric),
        question=[" ".join(part.split()) for part in report.question.split("\n\n") if part.strip()],
        warnings=list(_warnings(report)),
        facts=list(_facts(report)),
        began=_time(report.sweep.start_s),
        ended=None if report.sweep.end_s is None else _time(report.sweep.end_s),
        result=_result(report),
        cost=cost,
        settings=settings,
        curves=list(zip(report.curves, curves, strict=True)),
        styles=styles,
        unfinished=_unfinished_by_reason(report),
        given_up=_given_up(report),
        trials=_trial_table(report, _every_trial(report), with_status=True),
        num_shown=NUM_SHOWN,
        environment=_environment(report),
        plotly=Markup(plotly.offline.get_plotlyjs()) if cost or settings or curves else None,
    )


def _styles(report: SweepReport) -> dict[str, LineStyle]:
    """Return the styles of rows or, for a search, of the trials with coloured curves."""
    if report.is_search:
        return line_styles(name for curves in report.curves for name in curves.named)
    rows = dict.fromkeys(trial.row for trial in report.trials)
    return line_styles(list(rows)[:MAX_METHODS])


def _warnings(report: SweepReport) -> Iterator[str]:
    """Yield the warnings that precede all numbers."""
    unfinished = _unfinished(report)
    if not report.finished:
        yield "No trial has finished yet: there is nothing to compare."
    elif unfinished:
        yield (
            f"{len(unfinished)} of {len(report.trials)} trials have no result (see “What did not "
            "finish”); every number here is of the others."
        )
    if report.overlaps:
        yield overlap_remark(report.overlaps.values(), report.overlaps)
    reason = report.sweep.tags.get(FAILURE, "")
    if reason and report.sweep.status != "FINISHED":
        yield f"The sweep is not whole: {reason}"
    dirty = report.environment.get("git.dirty", {}).get("true", 0)
    if dirty:
        yield (
            f"{dirty} trials ran code with changes since its commit; code.diff among the files of "
            "the sweep's run holds them."
        )
    if any(_is_mixed(report, name) for name in ("git.commit", "sha256.code.diff")):
        yield "The trials did not all run the same code (see “Environment”)."


def _is_mixed(report: SweepReport, name: str) -> bool:
    values = report.environment.get(name, {})
    started = sum(trial.record is not None for trial in report.trials)
    return len(values) > 1 or 0 < sum(values.values()) < started


def _facts(report: SweepReport) -> Iterator[tuple[str, str]]:
    yield "trials finished", f"{len(report.finished)} of {len(report.trials)}"
    statuses = Counter(trial.status for trial in report.trials)
    for status in ("failed", "killed", "running", GIVEN_UP, NEVER_STARTED):
        if statuses[status]:
            yield f"trials {status}", str(statuses[status])
    if not report.is_search:
        rows = dict.fromkeys(trial.row for trial in report.trials)
        seeds = dict.fromkeys(trial.seed for trial in report.trials)
        yield "rows × seeds", f"{len(rows)} × {len(seeds)}"
    best = report.best
    if best is not None:
        what = metric_label(report.metric).header
        what = what if report.is_search else f"mean {what} over n={best.num_seeds}"
        score = _numbers([best.score])[0]
        yield f"best {what}: {best.name}", marked(score, best.name in report.overlaps)
    if report.device_hours:
        hours = report.device_hours
        text = f"{hours:,.0f} h" if hours >= 100 else f"{hours:.3g} h"
        yield (
            "device time, shared work counted once",
            text if hours >= 1 else f"{60 * hours:.3g} min",
        )


def _result(report: SweepReport) -> dict[str, Any] | Markup | None:
    """Return the parts of the table, or a table of a search's best points."""
    if report.table is not None:
        layout = replace(lay_out(report.table), missing=())  # they have their own section
        return html_parts(layout)
    if report.is_search and report.finished:
        return _trial_table(report, report.best_first[:NUM_SHOWN])
    return None


def _cost(report: SweepReport, styles: Mapping[str, LineStyle]) -> dict[str, Any] | None:
    """Return score against cost as a chart, and the best for their cost as a table."""
    points = [point for point in report.points if not math.isnan(point.hours)]
    if not points:
        return None
    metric = metric_label(report.metric).header
    styled = styles if styles.keys() >= {point.name for point in points} else {}
    front = [point for point in points if point.on_front]
    columns = (
        [point.name for point in front],
        [
            marked(score, point.name in report.overlaps)
            for point, score in zip(front, _numbers([p.score for p in front]), strict=True)
        ],
        _numbers([report.cost.amount(point.hours) for point in front]),
    )
    header = ("best for the cost", metric, report.cost.header)
    return {
        "chart": score_against_cost(points, metric, report.cost, styled),
        "num_points": len(points),
        "has_styles": bool(styled),
        "in_full": report.cost.text == DEVICE_TIME,
        "front": html.html_table(pd.DataFrame(zip(*columns, strict=True)), header),
    }


def _settings(report: SweepReport) -> dict[str, Any] | None:
    """Return the charts of the settings: parallel coordinates and importance."""
    drawn, done = report.shown_settings, report.finished
    if len(done) < 2 or not drawn:
        return None
    chart = parallel_coordinates(
        drawn,
        np.array([trial.score for trial in done]),
        metric_label(report.metric).header,
        lower_is_better=report.lower_is_better,
    )
    found = report.importance
    return {
        "chart": chart,
        "num_drawn": len(drawn),
        "has_absent": any(UNKNOWN in setting.values for setting in drawn),
        "together": [setting for setting in drawn if setting.together],
        "importance": None if found.why_not else importance_bars(report.settings, found),
        "num_bars": min(MAX_BARS, len(report.settings)),
    }


def _unfinished(report: SweepReport) -> list[TrialFacts]:
    """Return the trials without a result that a search did not give up."""
    return [one for one in report.trials if not one.has_score and one.status != GIVEN_UP]


def _unfinished_by_reason(report: SweepReport) -> dict[tuple[str, str], list[TrialFacts]]:
    groups: dict[tuple[str, str], list[TrialFacts]] = {}
    for trial in _unfinished(report):
        groups.setdefault((trial.status, trial.reason), []).append(trial)
    return groups


def _given_up(report: SweepReport) -> tuple[int, Markup] | None:
    lines = [(one.name, one.reason) for one in report.trials if one.status == GIVEN_UP]
    if not lines:
        return None
    return len(lines), _text_table(lines, ("point", "why"), text_columns=(0, 1))


def _every_trial(report: SweepReport) -> list[TrialFacts]:
    rest = [trial for trial in report.trials if not trial.has_score]
    return [*(report.best_first if report.is_search else report.finished), *rest]


def _trial_table(
    report: SweepReport, trials: Sequence[TrialFacts], *, with_status: bool = False
) -> Markup:
    settings = report.shown_settings
    header = ["trial", metric_label(report.metric).header, report.cost.header]
    header += [setting.name for setting in settings]
    words = [index for index, one in enumerate(settings, start=3) if not one.is_numeric]
    if with_status:
        words += [len(header), len(header) + 1]
        header += ["status", "fingerprint"]
    scores = _numbers([trial.score for trial in trials])
    costs = _numbers([report.cost.amount(trial.hours) for trial in trials])
    lines = [
        (
            trial.name,
            marked(score, trial.has_score and trial.overlap),
            cost,
            *(
                _setting_text(trial.settings.get(one.name, UNKNOWN), one.is_numeric)
                for one in settings
            ),
            *((trial.status, trial.fingerprint) if with_status else ()),
        )
        for trial, score, cost in zip(trials, scores, costs, strict=True)
    ]
    return _text_table(lines, header, text_columns=(0, *words))


def _environment(report: SweepReport) -> Markup | None:
    """Return code, versions and hardware, with the number of trials of each if they differ."""
    lines = [
        (
            name,
            "; ".join(
                value if len(values) == 1 else f"{value} ({number} trials)"
                for value, number in values.items()
            ),
        )
        for name, values in report.environment.items()
    ]
    return _text_table(lines, ("what", "value"), text_columns=(0, 1)) if lines else None


def _text_table(
    lines: Sequence[Sequence[str]], header: Sequence[str], text_columns: Sequence[int]
) -> Markup:
    """Return a table of texts; long ones are broken into lines."""
    frame = pd.DataFrame(lines, columns=range(len(header)))
    classes = frame.map(lambda text: "long" if len(text) > LONG else "")
    classes.loc[:, [index for index in classes if index not in text_columns]] = ""
    return html.html_table(frame, header, text_columns=text_columns, classes=classes)


def _setting_text(value: str, is_numeric: bool) -> str:
    return f"{float(value):.4g}" if is_numeric and value != UNKNOWN else value


def _numbers(values: Sequence[float]) -> list[str]:
    """Return a column's numbers, all with the same decimals."""
    decimals = num_decimals(values)
    return [ABSENT if math.isnan(value) else f"{value:.{decimals}f}" for value in values]


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
