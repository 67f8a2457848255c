"""Learning curves as SVG inside a page: means over seeds in bands of one standard deviation."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from olivine.results.inline_svg import (
    COLOURS,
    INK,
    NUM_NAMED,
    POINTS,
    POOR,
    TEXT_SIZE,
    WIDTH,
    height_of,
    inline_svg,
    margins,
    plain,
    sheet,
    short,
)

NUM_PANELS_ACROSS = 3
MAX_STEPS, MAX_STEPS_BEHIND = 80, 16  # of a drawn curve; of one behind a panel
MAX_NAME = 20  # characters of a method's name
MAX_TOLD = 12  # lines whose last value is told in words


def curves_with_bands(curves: pd.DataFrame, name: str, ylabel: str, *, named: Sequence[str]) -> str:
    """Draw the mean over seeds of every method in a band of one standard deviation.

    `curves` has the columns method, seed, step, value. The methods `named` are told apart, by the
    same colours in every figure of a page: a few of them in one panel, with their names at the
    lines' ends and all others in grey; many in a panel each.
    """
    lines = {str(method): _band(part) for method, part in curves.groupby("method", sort=False)}
    shown = [method for method in named if method in lines]
    if len(named) <= NUM_NAMED:
        colours = {method: COLOURS[named.index(method)] for method in shown}
        figure = _one_panel(lines, colours, ylabel)
    else:
        figure = _panels(lines, shown, ylabel)
    ends = "; ".join(f"{one} {lines[one]['mean'].iloc[-1]:.3g}" for one in shown[:MAX_TOLD])
    return inline_svg(figure, name, f"{ylabel} over steps of {len(lines)} lines; last: {ends}.")


def _one_panel(
    lines: Mapping[str, pd.DataFrame], colours: Mapping[str, str], ylabel: str
) -> Figure:
    figure, axis = sheet(230.0)
    rest = [_xy(line) for method, line in lines.items() if method not in colours]
    axis.add_collection(LineCollection(rest, colors=POOR, linewidths=0.6, alpha=0.45))
    ends = []
    for method, colour in reversed(list(colours.items())):
        line = lines[method]
        _draw_band(axis, line, colour)
        ends.append((float(line["mean"].iloc[-1]), method, colour))
    axis.autoscale_view()
    plain(axis, "step", ylabel)
    longest = max((len(short(method, MAX_NAME)) for method in colours), default=0)
    margins(axis, left=46.0, bottom=36.0, right=min(130.0, 12 + 5.6 * longest), top=8.0)
    _name_ends(axis, ends)
    return figure


def _panels(lines: Mapping[str, pd.DataFrame], methods: Sequence[str], ylabel: str) -> Figure:
    num_rows = math.ceil(len(methods) / NUM_PANELS_ACROSS)
    figure = Figure(figsize=(WIDTH / POINTS, (34 + 88 * num_rows) / POINTS))
    figure.patch.set_visible(False)
    grid = figure.subplots(num_rows, NUM_PANELS_ACROSS, sharex=True, sharey=True, squeeze=False)
    everything = [_thinned(_xy(line), MAX_STEPS_BEHIND) for line in lines.values()]
    for place, axis in enumerate(grid.flat):
        if place >= len(methods):
            axis.set_visible(False)
            continue
        axis.add_collection(LineCollection(everything, colors=POOR, linewidths=0.5, alpha=0.4))
        _draw_band(axis, lines[methods[place]], COLOURS[0])
        axis.autoscale_view()
        title = short(methods[place], MAX_NAME)
        axis.set_title(title, fontsize=TEXT_SIZE, color=INK, loc="left", pad=2)
        is_last = place + NUM_PANELS_ACROSS >= len(methods)
        is_middle = place == NUM_PANELS_ACROSS * (num_rows // 2)
        plain(axis, "step" if is_last else "", ylabel if is_middle else "")
        axis.tick_params(labelsize=8, labelbottom=is_last)
        axis.locator_params(nbins=3)
    height = figure.get_figheight() * POINTS
    figure.subplots_adjust(
        left=40 / WIDTH, right=1 - 4 / WIDTH, bottom=32 / height, top=1 - 16 / height,
        wspace=0.1, hspace=0.32,
    )  # fmt: skip
    return figure


def _draw_band(axis: Axes, line: pd.DataFrame, colour: str) -> None:
    mean, std = line["mean"].to_numpy(), line["std"].fillna(0).to_numpy()
    if std.any():
        axis.fill_between(line.index, mean - std, mean + std, color=colour, alpha=0.22, lw=0)
    marker = "o" if len(line) == 1 else None
    axis.plot(line.index, mean, marker=marker, ms=3, color=colour, lw=1.5, solid_capstyle="round")


def _band(part: pd.DataFrame) -> pd.DataFrame:
    """Return mean and std per step, of few enough steps; half of the seeds at least have each."""
    steps = part.groupby("step")["value"].agg(["mean", "std", "count"]).sort_index()
    whole = steps[2 * steps["count"] >= steps["count"].max()]
    return whole.iloc[_thinned(np.arange(len(whole)), MAX_STEPS)]


def _thinned(values: np.ndarray, num: int) -> np.ndarray:
    """Keep at most so many, evenly spaced, with the first and the last."""
    if len(values) <= num:
        return values
    return values[np.linspace(0, len(values) - 1, num).round().astype(int)]


def _xy(line: pd.DataFrame) -> Float[np.ndarray, "S 2"]:
    return np.stack([line.index.to_numpy(float), line["mean"].to_numpy(float)], axis=1)


def _name_ends(axis: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names beside the ends of lines (value, name, colour), apart from each other."""
    low, high = axis.get_ylim()
    gap = 13 / (axis.get_position().height * height_of(axis))
    wanted = sorted(((y - low) / ((high - low) or 1), method, colour) for y, method, colour in ends)
    places: list[float] = []
    for share, _, _ in wanted:
        places.append(max(share, places[-1] + gap if places else share))
    over = max(0.0, (places[-1] if places else 0) - 1.0)
    for place, (_, method, colour) in zip(places, wanted, strict=True):
        axis.text(
            1.02,
            place - over,
            short(method, MAX_NAME),
            fontsize=TEXT_SIZE,
            color=colour,
            va="center",
            transform=axis.transAxes,
        )
