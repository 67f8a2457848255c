"""Figures of a sweep's report, as SVG inside its page: narrow enough for a phone as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from olivine.results.importance import Axis, Importance
from olivine.results.inline_svg import (
    COLOURS,
    GOOD,
    INK,
    LABEL_SIZE,
    MUTED,
    NUM_NAMED,
    PAPER,
    POINTS,
    POOR,
    TEXT_SIZE,
    WIDTH,
    inline_svg,
    margins,
    plain,
    sheet,
    short,
    short_name,
)
from olivine.results.tables.spec import UNKNOWN

HALO = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6}  # of a text
GAP = 0.02  # between the texts of two ticks, in widths of an axis
MAX_BARS = 12  # settings whose importance is drawn
MAX_TICKS = 6  # of an axis; one with more values has round numbers instead

# Where a name may stand beside its point: its own anchor, and points to the right and up.
SIDES = (
    ("left", "center", 6, 0),
    ("right", "center", -6, 0),
    ("center", "bottom", 0, 5),
    ("center", "top", 0, -5),
    ("left", "bottom", 4, 4),
    ("right", "top", -4, -4),
)


@dataclass(frozen=True)
class ScoreAtCost:
    """A configuration as a point: what it scores, and what it takes."""

    name: str
    score: float
    deviation: float  # over seeds; NaN: one seed
    hours: float  # NaN: unknown
    num_seeds: int
    on_front: bool  # no other is as good for less


def parallel_coordinates(
    axes: Sequence[Axis], scores: Float[np.ndarray, " T"], metric: str, *, lower_is_better: bool
) -> str:
    """Draw a line per trial, from setting to setting down to the score; the best are the boldest.

    Axes lie below each other, so that their long names have room on a phone.
    """
    step, top, bottom = 50.0, 20.0, 22.0
    figure, axis = sheet(top + step * len(axes) + bottom)
    places = [_Scale.of(one) for one in axes]
    score = _Scale.of(Axis(metric, (), tuple(map(repr, scores.tolist()))))
    across = np.stack([*(scale.places for scale in places), score.places], axis=1)
    heights = -step * np.arange(len(axes) + 1)
    goodness = _ranks(-scores if lower_is_better else scores)
    order = np.argsort(goodness)
    for trial in order:
        share = float(goodness[trial])
        axis.plot(
            across[trial], heights, color=_between(POOR, GOOD, share), alpha=0.35 + 0.6 * share**2,
            linewidth=0.8 + 1.2 * share**4, solid_capstyle="round",
        )  # fmt: skip
    for height, scale, name in zip(
        heights, [*places, score], [*(one.label for one in axes), metric], strict=True
    ):
        _horizontal_axis(axis, height, scale, name)
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(heights[-1] - bottom, top)
    best = int(order[-1])
    settings = ", ".join(f"{one.name} {short(one.values[best], 24)}" for one in axes[:NUM_NAMED])
    text = (
        f"Parallel coordinates of {len(scores)} trials over {len(axes)} settings and {metric}; the "
        f"best has {metric} {scores[best]:.4g} with {settings}."
    )
    return inline_svg(figure, "parallel", text)


def importance_bars(axes: Sequence[Axis], found: Importance) -> str:
    """Draw a bar for each of the most important settings with its deviation over folds."""
    order = np.argsort(found.shares)[::-1][:MAX_BARS]
    step = 30.0
    figure, axis = sheet(step * len(order) + 38)
    percent = 100 * np.array(found.shares)[order]
    spread = 100 * np.array(found.deviations)[order]
    heights = -step * np.arange(len(order))
    axis.barh(heights, percent, 0.36 * step, color=COLOURS[0])
    axis.errorbar(percent, heights, xerr=spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    right = max(1.0, float((percent + spread).max()))
    left = min(0.0, float((percent - spread).min()))
    for height, place in zip(heights, order, strict=True):
        axis.text(left, height + 0.3 * step, short_name(axes[place].label, 56), fontsize=TEXT_SIZE,
                  color=INK, va="bottom")  # fmt: skip
    axis.axvline(0, color=MUTED, linewidth=0.8)
    axis.set_xlim(left, 1.05 * right)
    axis.set_ylim(heights[-1] - 0.5 * step, 0.85 * step)
    axis.set_yticks([])
    plain(axis, "error added by shuffling it, % of the score's variance")
    axis.spines["left"].set_visible(False)
    margins(axis, left=4.0, bottom=34.0)
    told = ", ".join(f"{axes[i].name} {100 * found.shares[i]:.0f} %" for i in order[:NUM_NAMED])
    return inline_svg(figure, "importance", f"Importance of {len(axes)} settings: {told}.")


def score_against_cost(points: Sequence[ScoreAtCost], metric: str, cost: str) -> str:
    """Draw score over hours; those on the front have another colour and their names."""
    figure, axis = sheet(250.0)
    front = sorted((one for one in points if one.on_front), key=lambda one: one.hours)
    for kind, colour, size in ((False, POOR, 20), (True, GOOD, 34)):
        chosen = [one for one in points if one.on_front == kind]
        hours, scores = [one.hours for one in chosen], [one.score for one in chosen]
        spread = np.nan_to_num([one.deviation for one in chosen])
        if spread.any():
            axis.errorbar(hours, scores, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.9)
        axis.scatter(hours, scores, s=size, color=colour, linewidths=0, zorder=3)
    known = [one.hours for one in points]
    if min(known) > 0 and max(known) / min(known) > 20:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda hours, _: f"{hours:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
    edges = axis.get_xlim(), axis.get_ylim()
    best_so_far = [one.hours for one in front], [one.score for one in front]
    axis.step(*best_so_far, where="post", color=GOOD, linewidth=1, linestyle="--", zorder=1)
    axis.set(xlim=edges[0], ylim=edges[1])
    plain(axis, cost, metric)
    margins(axis, left=42.0, bottom=36.0, right=14.0, top=12.0)
    named = points if len(points) <= 2 * NUM_NAMED else front
    _name_points(axis, named, [(one.hours, one.score) for one in points])
    told = "; ".join(f"{one.name}: {one.score:.4g} in {one.hours:.3g}" for one in front[:NUM_NAMED])
    text = f"{metric} against {cost} of {len(points)} configurations. On the front: {told}."
    return inline_svg(figure, "cost", text)


@dataclass(frozen=True)
class _Scale:
    """Where the values of an axis lie between 0 and 1."""

    places: np.ndarray  # of each trial
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, axis: Axis) -> "_Scale":
        numbers = axis.numbers()
        absent = np.isnan(numbers)
        shown = np.log10(numbers) if axis.is_log else numbers
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        first = 0.14 if absent.any() else 0.0  # left of it are trials without the setting
        width = (1 - first) / ((high - low) or 1.0)
        places = np.where(absent, 0.0, first + (shown - low) * width)
        texts = {
            place: f"{float(value):.3g}" if axis.is_numeric and value != UNKNOWN else value
            for place, value in zip(places.tolist(), axis.values, strict=True)
        }
        if axis.is_numeric and len(texts) > MAX_TICKS:
            ends = {place: text for place, text in texts.items() if place in (0.0, first, 1.0)}
            texts = {first + (at - low) * width: text for at, text in _round_ticks(axis, low, high)}
            texts |= ends
        return cls(places, tuple(_with_room(texts)))


def _round_ticks(axis: Axis, low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers between the ends of an axis, where they lie and as text."""
    if axis.is_log:
        numbers = LogLocator(subs=(1.0, 2.0, 5.0)).tick_values(10**low, 10**high)
        ticks = [(float(np.log10(number)), f"{number:g}") for number in numbers]
    else:
        numbers = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = [(float(number), f"{number:g}") for number in numbers]
    return [(at, text) for at, text in ticks if low < at < high]


def _with_room(texts: Mapping[float, str]) -> list[tuple[float, str]]:
    """Keep the ticks that have room: the two ends first, then the others from the left."""
    order = sorted(texts)
    limit = max(6, round(56 / min(len(order), MAX_TICKS)))
    kept: list[tuple[float, str]] = []
    taken: list[tuple[float, float]] = []
    for place in [*order[:1], *order[:0:-1][:1], *order[1:-1]]:
        text = short(texts[place], limit)
        begin, end = _extent(place, text)
        if all(end + GAP < other or begin > other_end + GAP for other, other_end in taken):
            kept.append((place, text))
            taken.append((begin, end))
    return kept


def _side(place: float) -> str:
    """Return where a tick's text has its anchor: that of an end is written inwards."""
    return "left" if place < 0.05 else "right" if place > 0.95 else "center"


def _extent(place: float, text: str) -> tuple[float, float]:
    """Return about where a tick's text begins and ends."""
    width = 0.55 * TEXT_SIZE * len(text) / WIDTH
    begin = place - {"left": 0.0, "right": 1.0, "center": 0.5}[_side(place)] * width
    return begin, begin + width


def _horizontal_axis(axis: Axes, height: float, scale: _Scale, name: str) -> None:
    axis.plot([0, 1], [height, height], color=INK, linewidth=0.9, zorder=4)
    axis.text(0, height + 4, short_name(name, 48), fontsize=LABEL_SIZE, color=INK, va="bottom",
              weight="bold", bbox=HALO, zorder=5)  # fmt: skip
    for place, text in scale.ticks:
        axis.plot([place, place], [height - 2.5, height + 2.5], color=INK, linewidth=0.9, zorder=4)
        axis.text(place, height - 4, text, fontsize=TEXT_SIZE, color=MUTED, va="top",
                  ha=_side(place),
                  bbox=HALO, zorder=5)  # fmt: skip


def _name_points(
    axis: Axes, named: Sequence[ScoreAtCost], points: Sequence[tuple[float, float]]
) -> None:
    """Write each name at a side of its point where it hides no other; else leave it out."""
    figure = axis.figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    left, right = axis.bbox.x0, figure.bbox.x1
    marks = axis.transData.transform(np.array(points))
    reach = 3.0 * figure.dpi / POINTS
    taken = [Bbox([mark - reach, mark + reach]) for mark in marks]
    for one in sorted(named, key=lambda one: not one.on_front):
        for ha, va, x, y in SIDES:
            text = axis.annotate(
                short(one.name, 26), (one.hours, one.score), (x, y), ha=ha, va=va,
                textcoords="offset points", fontsize=TEXT_SIZE, color=INK, bbox=HALO, zorder=2,
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            inside = left <= box.x0 and box.x1 <= right
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


def _ranks(values: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Return 0 for the lowest to 1 for the highest; equals have equal ranks."""
    ranks = pd.Series(values).rank(method="max").to_numpy()
    return (ranks - ranks.min()) / (float(np.ptp(ranks)) or 1.0)


def _between(one: str, other: str, share: float) -> str:
    mixed = (1 - share) * np.array(to_rgb(one)) + share * np.array(to_rgb(other))
    return str(to_hex(tuple(mixed)))
