"""Parallel coordinates of settings and score: a line per trial, with axes that can be brushed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from olivine.results.colours import ORANGE, POOR
from olivine.results.importance import VaryingSetting
from olivine.results.sweep_report.chart import NUM_DESCRIBED, Chart, base_layout, plotly_text
from olivine.results.tables.spec import UNKNOWN
from olivine.results.words import short, short_name

AXIS_WIDTH_PX = 112  # smallest distance of two axes
MAX_FEW = 6  # largest number of values at equal distances on an axis
LABEL_LENGTH = 18  # characters above an axis
CATEGORIES_SHOWN = 16  # largest number of values with a text on one axis


def parallel_coordinates(
    settings: Sequence[VaryingSetting],
    scores: Float[np.ndarray, " T"],
    metric: str,
    *,
    lower_is_better: bool,
) -> Chart:
    """Draw a line per trial through its settings and score; every axis can be brushed.

    `metric` is the score's header. The better a trial, the more orange its line.
    """
    goodness = _ranks(-scores if lower_is_better else scores)
    order = np.argsort(goodness, kind="stable")  # the best are drawn last, over the others
    dimensions = [_dimension(one, order) for one in settings]
    dimensions.append(_numeric_dimension(plotly_text(metric), scores[order]))
    colours = {"color": goodness[order], "colorscale": [[0, POOR], [1, ORANGE]]}
    figure = go.Figure(
        go.Parcoords(dimensions=dimensions, line=colours, labelside="top"),
        base_layout(430, {"l": 96, "r": 64, "t": 84, "b": 28}),
    )
    best = int(order[-1])
    described = ", ".join(
        f"{one.name} {short(one.values[best], 24)}" for one in settings[:NUM_DESCRIBED]
    )
    text = (
        f"Parallel coordinates of {len(scores)} trials over {len(settings)} settings and {metric}; "
        f"the best has {metric} {scores[best]:.4g} with {described}."
    )
    return Chart("settings", figure, text, AXIS_WIDTH_PX * len(dimensions) + 60)


def _dimension(setting: VaryingSetting, order: Int[np.ndarray, " T"]) -> dict[str, Any]:
    """Return an axis: few values are at equal distances, many numbers to scale."""
    label = _label(setting)
    numbers = setting.numbers()[order]
    texts = [setting.values[i] for i in order]
    absent = np.isnan(numbers)
    known = np.unique(numbers[~absent])
    if not setting.is_numeric or len(known) <= MAX_FEW:
        names = {number: texts[list(numbers).index(number)] for number in known.tolist()}
        positions = np.where(absent, -1, np.searchsorted(known, numbers))
        ticks = [-1] * bool(absent.any()) + list(range(len(known)))
        tick_texts = [UNKNOWN if at < 0 else _tick(names[known[at]], setting) for at in ticks]
        step = -(-len(ticks) // CATEGORIES_SHOWN)
        return {
            "label": label,
            "values": positions,
            "tickvals": ticks[::step],
            "ticktext": tick_texts[::step],
            "range": [min(ticks) - 0.1, max(ticks) + 0.1],
        }
    if setting.is_log:
        numbers, label = np.log10(numbers), f"log₁₀ {label}"
    dimension = _numeric_dimension(label, numbers)
    if absent.any():
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        below = low - 0.15 * (high - low)
        ticks = np.linspace(low, high, 5)
        dimension |= {
            "values": np.where(absent, below, numbers),
            "tickvals": [below, *ticks],
            "ticktext": [UNKNOWN, *(f"{tick:.3g}" for tick in ticks)],
            "range": [below, high],
        }
    return dimension


def _numeric_dimension(label: str, numbers: Float[np.ndarray, " T"]) -> dict[str, Any]:
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    room = 0.0 if high > low else 0.5
    dimension = {"label": label, "values": numbers, "range": [low - room, high + room]}
    if (numbers[np.isfinite(numbers)] % 1).any():
        dimension["tickformat"] = ".4~r"  # else the ends of the axis have five digits and more
    return dimension


def _label(setting: VaryingSetting) -> str:
    """Return the end of a setting's name, cut to the room above its axis."""
    more = f" +{len(setting.together)}" if setting.together else ""
    return plotly_text(short_name(setting.name, LABEL_LENGTH - len(more)) + more)


def _tick(text: str, setting: VaryingSetting) -> str:
    return f"{float(text):.4g}" if setting.is_numeric else short(text, 15)


def _ranks(values: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Return 0 for the lowest to 1 for the highest; equals have equal ranks."""
    ranks = pd.Series(values).rank(method="max").to_numpy()
    return (ranks - ranks.min()) / (float(np.ptp(ranks)) or 1.0)
