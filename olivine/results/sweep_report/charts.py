"""Score against cost, learning curves and the importance of settings, drawn by plotly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from olivine.results.colours import BLUE, ORANGE, POOR, LineStyle
from olivine.results.importance import Importance, VaryingSetting
from olivine.results.sweep_report.chart import NUM_DESCRIBED, Chart, axis, base_layout, plotly_text
from olivine.results.sweep_report.curves import Curves
from olivine.results.sweep_report.trials import CostUnit, ScoreAtCost
from olivine.results.words import short_name

MAX_BARS = 12  # settings whose importance is drawn
MAX_STEPS, MAX_STEPS_BEHIND = 80, 16  # of a coloured curve; of a grey one


def importance_bars(settings: Sequence[VaryingSetting], found: Importance) -> Chart:
    """Draw a bar for each of the most important settings with its deviation over the folds."""
    order = np.argsort(found.shares)[::-1][:MAX_BARS]
    percent = 100 * np.array(found.shares)[order]
    spread = 100 * np.array(found.deviations)[order]
    heights = -np.arange(len(order))
    labels = [settings[i].label for i in order]
    bars = go.Bar(
        x=percent,
        y=heights,
        width=0.4,
        orientation="h",
        marker={"color": BLUE},
        error_x={"array": spread, "thickness": 1, "width": 3},
        customdata=[plotly_text(label) for label in labels],
        hovertemplate="%{customdata}: %{x:.1f} % ± %{error_x.array:.1f}<extra></extra>",
    )
    # Names are above their bars, because there is no room beside them on a phone.
    left = min(0.0, float((percent - spread).min()))
    names = go.Scatter(
        x=np.full(len(order), left),
        y=heights + 0.4,
        mode="text",
        text=[plotly_text(short_name(label, 42)) for label in labels],
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
    )
    layout = base_layout(100 + 42 * len(order), {"l": 8, "r": 12, "t": 30, "b": 60})
    right = 1.06 * max(1.0, float((percent + spread).max()))
    layout["xaxis"] = axis("error added by shuffling it\n(% of the score's variance)")
    layout["xaxis"] |= {"range": [left, right], "zeroline": True}
    layout["yaxis"] = {"range": [heights[-1] - 0.5, 0.75], "visible": False, "fixedrange": True}
    described = ", ".join(
        f"{settings[i].name} {100 * found.shares[i]:.0f} %" for i in order[:NUM_DESCRIBED]
    )
    text = f"Importance of {len(settings)} settings: {described}."
    return Chart("importance", go.Figure([bars, names], layout), text)


def score_against_cost(
    points: Sequence[ScoreAtCost], metric: str, cost: CostUnit, styles: Mapping[str, LineStyle]
) -> Chart:
    """Draw score over cost; no point is as good as those on the front at lower cost.

    `metric` is a header with its unit, `cost` the unit in which hours are shown. Points with a
    style have their own colour, those of a search are orange on the front and grey behind it.
    """
    groups = [[one] for one in points] if styles else [
        [one for one in points if one.on_front is on_front] for on_front in (False, True)
    ]  # fmt: skip
    front = sorted((one for one in points if one.on_front), key=lambda one: one.hours)
    line = go.Scatter(
        x=[cost.amount(one.hours) for one in front],
        y=[one.score for one in front],
        mode="lines",
        line={"shape": "hv", "dash": "dot", "width": 1.2, "color": POOR},
        hoverinfo="skip",
        showlegend=False,
    )
    traces = [_points(group, styles, cost) for group in groups if group]
    layout = base_layout(360, {"l": 56, "r": 16, "t": 30, "b": 52})
    layout |= {"xaxis": axis(cost.header), "yaxis": axis(metric)}
    known = [cost.amount(one.hours) for one in points]
    if min(known) > 0 and max(known) / min(known) > 20:
        layout["xaxis"] |= {"type": "log"} | _round_ticks(min(known), max(known))
    described = "; ".join(
        f"{one.name}: {one.score:.4g} in {cost.amount(one.hours):.3g} {cost.unit}"
        for one in front[:NUM_DESCRIBED]
    )
    text = f"{metric} against {cost.header} of {len(points)} configurations."
    text += f" Best for the cost: {described}."
    return Chart("cost", go.Figure([line, *traces], layout), text)


def learning_curves_chart(curves: Curves, styles: Mapping[str, LineStyle]) -> Chart:
    """Draw the mean over seeds of every method within a band of one standard deviation.

    Methods with a style have the same one in every chart; the others are grey.
    """
    lines = {str(name): _band(part) for name, part in curves.lines.groupby("method", sort=False)}
    styled = [name for name in curves.named if name in lines]
    behind = [line for name, line in lines.items() if name not in styled]
    traces = [_lines_behind(behind)] if behind else []
    for name in styled:
        traces += _line_with_band(name, lines[name], styles[name])
    layout = base_layout(330, {"l": 56, "r": 16, "t": 30, "b": 48})
    layout |= {"xaxis": axis("step"), "yaxis": axis(curves.ylabel)}
    ends = "; ".join(f"{one} {lines[one]['mean'].iloc[-1]:.3g}" for one in styled[:NUM_DESCRIBED])
    text = f"{curves.ylabel} over steps of {len(lines)} lines; last: {ends}."
    return Chart(curves.name, go.Figure(traces, layout), text)


def _round_ticks(low: float, high: float) -> dict[str, Any]:
    """Return round ticks of a logarithmic axis: 1, 2 and 5 of each decade, or 1 of many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _points(
    group: Sequence[ScoreAtCost], styles: Mapping[str, LineStyle], cost: CostUnit
) -> go.Scatter:
    first = group[0]
    colour = styles[first.name].colour if styles else (ORANGE if first.on_front else POOR)
    spread = np.nan_to_num([one.deviation for one in group])
    return go.Scatter(
        x=[cost.amount(one.hours) for one in group],
        y=[one.score for one in group],
        name=plotly_text(first.name) if styles else "",
        legendgroup=first.name if styles else "",
        mode="markers",
        marker={"color": colour, "size": 11 if styles else 8,
                "symbol": "diamond" if first.on_front else "circle"},
        error_y={"array": spread, "thickness": 1.2, "width": 4, "visible": bool(spread.any())},
        customdata=[[plotly_text(one.name), _spread_text(one)] for one in group],
        hovertemplate=f"<b>%{{customdata[0]}}</b><br>%{{y:.4g}}%{{customdata[1]}}<br>"
        f"{plotly_text(cost.header)}: %{{x:.3g}}<extra></extra>",
    )  # fmt: skip


def _spread_text(point: ScoreAtCost) -> str:
    if math.isnan(point.deviation):
        return ""
    return f" ± {point.deviation:.2g} over {point.num_seeds} seeds"


def _line_with_band(name: str, line: pd.DataFrame, style: LineStyle) -> list[go.Scatter]:
    steps, mean = line.index.to_numpy(), line["mean"].to_numpy()
    std = line["std"].fillna(0).to_numpy()
    shared = {"name": plotly_text(name), "legendgroup": name, "hoverinfo": "skip"}
    traces = []
    if std.any():
        outline = {
            "x": np.concatenate([steps, steps[::-1]]),
            "y": np.concatenate([mean + std, (mean - std)[::-1]]),
        }
        filled = {"fill": "toself", "fillcolor": _faint(style.colour), "mode": "none"}
        traces.append(go.Scatter(**outline, **filled, **shared))
    drawn = {
        "mode": "lines" if len(line) > 1 else "markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "size": 7},
        "customdata": [f" ± {one:.2g}" if one else "" for one in std],
        "hovertemplate": "<b>%{fullData.name}</b><br>step %{x}: %{y:.4g}%{customdata}"
        "<extra></extra>",
    }
    traces.append(go.Scatter(x=steps, y=mean, **{**shared, "hoverinfo": None}, **drawn))
    return traces


def _lines_behind(lines: Sequence[pd.DataFrame]) -> go.Scatter:
    """Return the grey lines as one trace, with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for line in lines:
        thin = line.iloc[_thinned(len(line), MAX_STEPS_BEHIND)]
        x += [*thin.index.tolist(), None]
        y += [*thin["mean"].tolist(), None]
    colour = {"color": POOR, "width": 1}
    return go.Scatter(x=x, y=y, mode="lines", line=colour, opacity=0.45, hoverinfo="skip", name="")


def _band(part: pd.DataFrame) -> pd.DataFrame:
    """Return mean and std of a limited number of steps, each with at least half of the seeds."""
    steps = part.groupby("step")["value"].agg(["mean", "std", "count"]).sort_index()
    whole = steps[2 * steps["count"] >= steps["count"].max()]
    return whole.iloc[_thinned(len(whole), MAX_STEPS)]


def _thinned(num: int, most: int) -> np.ndarray:
    """Return at most `most` indices of `num` values, evenly spaced, with both ends."""
    return np.unique(np.linspace(0, num - 1, min(num, most)).round().astype(int))


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
