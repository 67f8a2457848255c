"""The sections of a sweep's page; one that has nothing to say is empty and left out."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from olivine.results.curve_figures import curves_with_bands
from olivine.results.importance import Axis
from olivine.results.page_parts import NOTHING, safe
from olivine.results.sweep_report.charts import (
    MAX_BARS,
    importance_bars,
    parallel_coordinates,
    score_against_cost,
)
from olivine.results.sweep_report.parts import code, command, figure, table_of
from olivine.results.sweep_report.read import SweepReport
from olivine.results.sweep_report.trials import DEVICE_HOURS_TEXT, GIVEN_UP, TrialFacts
from olivine.results.tables.html_format import html_table_parts
from olivine.results.tables.spec import UNKNOWN
from olivine.results.tables.text import lay_out

NUM_SHOWN = 10  # trials or commands before the rest is folded


def result(report: SweepReport) -> Iterator[str]:
    """Yield the table, or a search's best points."""
    if report.table is not None:
        layout = replace(lay_out(report.table), missing=())  # they have a section of their own
        yield html_table_parts(layout).replace("h2>", "h3>")
    elif report.is_search and report.finished:
        better = "lowest" if report.lower_is_better else "highest"
        yield (
            f"<p>The points with the {better} {safe(report.metric)}. A search gives every point "
            "one seed and chooses the next by those before: the best of many is better than it "
            "would be again. Compare a few of them by a sweep with rows.</p>"
        )
        yield _trial_table(report, report.best_first[:NUM_SHOWN])
    else:
        yield "<p>There is no table before a trial has finished.</p>"


def cost(report: SweepReport) -> Iterator[str]:
    """Yield the front of score against cost."""
    points = [point for point in report.points if not math.isnan(point.hours)]
    if not points:
        return
    how = "their pretraining in full, also where others share it"
    if report.cost != DEVICE_HOURS_TEXT:
        how = "of the trial alone: a pretraining that it found ready costs nothing"
    what = "trials" if report.is_search else "rows, means over seeds with their deviation"
    drawn = figure(
        score_against_cost(points, report.metric, report.cost),
        f"{len(points)} {what}; {report.cost}, {how}. Orange: on the front, no other is as good "
        "for less.",
    )
    lines = [
        (point.name, _number(point.score), f"{point.hours:.3g}")
        for point in points
        if point.on_front
    ]
    table = table_of(("on the front", report.metric, report.cost), lines)
    yield f'<div class="figures">{drawn}<div>{table}</div></div>'


def settings(report: SweepReport) -> Iterator[str]:
    """Yield how settings lead to the score, and which of them matters."""
    drawn, done = report.drawn_axes, report.finished
    if len(done) < 2 or not drawn:
        return
    told = ""
    if len(drawn) < len(report.axes):
        told = f" {len(drawn)} of {len(report.axes)} settings that vary are drawn."
    lines = parallel_coordinates(
        drawn,
        np.array([trial.score for trial in done]),
        report.metric,
        lower_is_better=report.lower_is_better,
    )
    absent = f" {UNKNOWN}: without this setting." if _has_absent(drawn) else ""
    figures = figure(
        lines,
        f"{len(done)} finished trials, a line each; the stronger the orange, the better.{told}"
        f"{absent}",
        "From settings to score",
    )
    found = report.importance
    if found.why_not:
        figures += f"<div><h3>Importance</h3><p>{safe(found.why_not)}</p></div>"
    else:
        num_axes = len(report.axes)
        some = f" The first {MAX_BARS} of {num_axes}." if num_axes > MAX_BARS else ""
        figures += figure(
            importance_bars(report.axes, found),
            "How much worse a random forest predicts points it has not seen when one setting is "
            "shuffled among them; lines: deviation over five folds. It predicts them with R² "
            f"{found.r2:.2f} ({found.num_points} points).{some}",
            "Importance",
        )
    yield f'<div class="figures">{figures}</div>'
    yield from _together(drawn)


def _together(axes: Iterable[Axis]) -> Iterator[str]:
    items = "".join(
        f"<li>{code(axis.name)} with {', '.join(map(code, axis.together))}</li>"
        for axis in axes
        if axis.together
    )
    if items:
        yield (
            "<details><summary>Settings that always change together, drawn as one</summary>"
            f"<ul>{items}</ul></details>"
        )


def curves(report: SweepReport) -> Iterator[str]:
    """Yield the learning curves."""
    about = "Mean over seeds, in a band of one standard deviation."
    if report.is_search:
        about = "Named: the best trials; grey: the others."
    figures = "".join(
        figure(
            curves_with_bands(one.lines, one.name, one.ylabel, named=one.named),
            f"{about} {one.note}",
            one.title,
        )
        for one in report.curves
    )
    if figures:
        yield f'<div class="figures">{figures}</div>'


def left(report: SweepReport) -> tuple[TrialFacts, ...]:
    """Return the trials without a result that a search did not give up."""
    return tuple(t for t in report.trials if not t.has_score and t.status != GIVEN_UP)


def failures(report: SweepReport) -> Iterator[str]:
    """Yield why trials have no result, those with one reason together."""
    given_up = [trial for trial in report.trials if trial.status == GIVEN_UP]
    groups: dict[tuple[str, str], list[TrialFacts]] = {}
    for trial in left(report):
        groups.setdefault((trial.status, trial.reason), []).append(trial)
    items = "".join(
        f"<li><b>{len(group)} {safe(status)}</b>{f': {safe(reason)}' if reason else ''}"
        f'<br><span class="note">{safe("; ".join(trial.name for trial in group))}</span></li>'
        for (status, reason), group in groups.items()
    )
    if items:
        yield f"<ul>{items}</ul>"
    if given_up:
        lines = [(trial.name, trial.reason) for trial in given_up]
        yield (
            f"<details><summary>{len(given_up)} points were given up by the search, which is no "
            f"failure</summary>{table_of(('point', 'why'), lines, words=(1,))}</details>"
        )
    if not items and not given_up:
        yield "<p>Nothing: every trial has finished.</p>"


def trials(report: SweepReport) -> Iterator[str]:
    """Yield every trial, folded."""
    rest = [trial for trial in report.trials if not trial.has_score]
    every = [*(report.best_first if report.is_search else report.finished), *rest]
    yield (
        f"<details><summary>{len(every)} trials with their settings</summary>"
        f"{_trial_table(report, every, with_status=True)}</details>"
    )


def _trial_table(
    report: SweepReport, rows: Sequence[TrialFacts], *, with_status: bool = False
) -> str:
    axes = report.drawn_axes
    more = ("status", "fingerprint") if with_status else ()
    header = ("trial", report.metric, report.cost, *(axis.name for axis in axes), *more)
    lines = [
        (
            trial.name,
            _number(trial.score),
            _number(trial.hours),
            *(_value(trial, axis) for axis in axes),
            *((trial.status, trial.fingerprint) if with_status else ()),
        )
        for trial in rows
    ]
    words = [place for place, axis in enumerate(axes, start=3) if not axis.is_numeric]
    return table_of(header, lines, words=[*words, *range(3 + len(axes), len(header))])


def repeat(report: SweepReport) -> Iterator[str]:
    """Yield the commands that run rows again, or where their settings are."""
    known = [one for one in report.repeats if one.command]
    if known:
        yield (
            "<p>Each gives the settings of its row to the last one, which was checked when this "
            "page was written. Data, paths and hardware are named by "
            f"{code('--set runtime.…')}. Finished work is found again, not repeated.</p>"
        )
        shown, folded = known[:NUM_SHOWN], known[NUM_SHOWN:]
        yield "".join(command(one.name, one.command) for one in shown)
        if folded:
            rest = "".join(command(one.name, one.command) for one in folded)
            yield f"<details><summary>{len(folded)} more</summary>{rest}</details>"
    for one in report.repeats:
        if not one.command:
            fetch = "".join(
                f"mlflow artifacts download --run-id {run_id} --artifact-path config.yaml "
                "--dst-path .\nolivine evaluate --config config.yaml\n"
                for run_id in one.run_ids
            )
            yield (
                f"<h3>{safe(one.name)}</h3><p>No recipe of this version gives these settings by a "
                "few changes; the runs keep them.</p>"
                f'<pre tabindex="0">{safe(f"export MLFLOW_TRACKING_URI={report.store}")}'
                f"\n{safe(fetch)}</pre>"
            )


def environment(report: SweepReport) -> Iterator[str]:
    """Yield code, versions and hardware; where trials differ, how many had which."""
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
    if lines:
        yield table_of(("what", "value"), lines, words=(1,))
    yield (
        f'<p class="note">Store: {code(report.store)}, run of the sweep: '
        f"{code(report.sweep.run_id)}. Two runs in detail: "
        f"{code('olivine compare FINGERPRINT FINGERPRINT')}.</p>"
    )


def _value(trial: TrialFacts, axis: Axis) -> str:
    value = trial.settings.get(axis.name, UNKNOWN)
    if not axis.is_numeric or value == UNKNOWN:
        return value
    return f"{float(value):.4g}"


def _has_absent(axes: Iterable[Axis]) -> bool:
    return any(UNKNOWN in axis.values for axis in axes)


def _number(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.4g}"
