"""Figures of results, each from arrays or a table to a file.

Drawn without a screen. Colours are safe for the colour-blind where they carry meaning, and a
figure reads in grey.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from olivine.core.storage import Store
from olivine.data.records import IGNORE

DPI = 200
CORRECT, WRONG, UNLABELLED = "#b8b8b8", "#c8102e", "#eeeeee"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe, Ito
NUM_LINES_INSIDE = 5  # more lines have their legend beside the axes

# Surfaces in muted colours, things that move in strong ones.
CLASS_COLOURS = {
    "barrier": "#6b5b95",
    "bicycle": "#ff1493",
    "bus": "#ff8c00",
    "car": "#e6a100",
    "construction_vehicle": "#b8651b",
    "motorcycle": "#d7263d",
    "pedestrian": "#0057e7",
    "traffic_cone": "#17becf",
    "trailer": "#8c4b00",
    "truck": "#ff5e3a",
    "driveable_surface": "#9fc5c1",
    "other_flat": "#7a8b8b",
    "sidewalk": "#b79ac8",
    "terrain": "#b5cf6b",
    "manmade": "#c9b29b",
    "vegetation": "#2e8b57",
    # SemanticKITTI's own
    "other-vehicle": "#b8651b",
    "person": "#0057e7",
    "bicyclist": "#8a2be2",
    "motorcyclist": "#17becf",
    "road": "#9fc5c1",
    "parking": "#8796c4",
    "other-ground": "#7a8b8b",
    "building": "#c9b29b",
    "fence": "#6b5b95",
    "trunk": "#8c4b00",
    "pole": "#4d4d4d",
    "traffic-sign": "#ff5e9a",
}


def error_figure(
    path: Path,
    xyz_m: Float[np.ndarray, "N 3"],
    true_ids: Integer[np.ndarray, " N"],
    predictions: Mapping[str, Integer[np.ndarray, " N"]],
    class_names: Sequence[str],
    *,
    radius_m: float = 40.0,
) -> Path:
    """Draw the truth by class and, for each method, which points it has wrong, from above.

    Points without a true class (`IGNORE`) are left out of the errors and of the share in the
    titles. nuScenes' x points right, y forward, so a panel shows the way ahead upwards; of
    SemanticKITTI it is to the right.
    """
    near = (np.abs(xyz_m[:, :2]) <= radius_m).all(axis=1)
    xy_m, truth = xyz_m[near][:, :2], true_ids[near]
    known = truth != IGNORE
    num_panels = 1 + len(predictions)
    figure = Figure(figsize=(3.3 * num_panels, 4.2))
    axes = list(figure.subplots(1, num_panels, sharex=True, sharey=True, squeeze=False)[0])
    _draw_truth(axes[0], xy_m, truth, class_names)
    for panel, (method, ids) in zip(axes[1:], predictions.items(), strict=True):
        wrong = known & (ids[near] != truth)
        _draw_errors(panel, xy_m[known], wrong[known])
        share = 100 * wrong.sum() / max(known.sum(), 1)
        panel.set_title(f"{method}: {share:.1f} % wrong", fontsize=10)
    _scale(axes, radius_m)
    shown = [i for i in np.unique(truth[known]).tolist() if i < len(class_names)]
    marks = [mark(class_colour(class_names[i], i), class_names[i].replace("_", " ")) for i in shown]
    marks += [mark(CORRECT, "right"), mark(WRONG, "wrong")]
    columns = -(-len(marks) // 2) if num_panels > 2 else -(-len(marks) // 3)
    figure.legend(handles=marks, loc="lower center", ncols=columns, fontsize=8, frameon=False)
    return save(figure, path, bottom=0.11 if num_panels > 2 else 0.15)


def learning_curves(
    path: Path, curves: pd.DataFrame, ylabel: str, xlabel: str = "step", *, log: bool = False
) -> Path:
    """Draw a line per method, the mean over seeds, in a band of one standard deviation.

    `curves` has the columns method, seed, step, value; seeds may have other steps.
    """
    crowded = curves["method"].nunique() > NUM_LINES_INSIDE
    figure = Figure(figsize=(7.0 if crowded else 5.2, 3.4))
    axis = figure.subplots()
    for index, (method, lines) in enumerate(curves.groupby("method", sort=False)):
        colour, style = LINES[index % len(LINES)], ("-", "--", ":")[index // len(LINES) % 3]
        steps = lines.groupby("step")["value"].agg(["mean", "std"]).sort_index()
        mean, std = steps["mean"].to_numpy(), steps["std"].fillna(0).to_numpy()
        axis.plot(steps.index, mean, style, color=colour, label=str(method), linewidth=1.6)
        axis.fill_between(steps.index, mean - std, mean + std, color=colour, alpha=0.18, lw=0)
    if log:
        axis.set_yscale("log")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if crowded else {}
    axis.legend(frameon=False, fontsize=8, **beside)
    plain(axis)
    return save(figure, path)


def score_bars(
    path: Path, table: pd.DataFrame, metric: str, *, label: str = "", baseline: str = ""
) -> Path:
    """Draw a bar per method with its deviation over seeds; a line marks the baseline's mean.

    `table` has the columns method, metric, mean, std and n. A method without a finished run keeps
    its place and is called so.
    """
    lines = table[table["metric"] == metric].reset_index(drop=True)
    figure = Figure(figsize=(5.2, 0.9 + 0.38 * len(lines)))
    axis = figure.subplots()
    places = np.arange(len(lines))[::-1]
    means, spreads = lines["mean"].to_numpy(), lines["std"].to_numpy()
    style = {"ecolor": "#333333", "capsize": 3, "elinewidth": 1.2}
    axis.barh(places, means, 0.62, xerr=spreads, color=LINES[5], error_kw=style)
    for place, line in zip(places, lines.itertuples(), strict=True):
        beside = axis.get_yaxis_transform()  # x in widths of the axes, y in places
        axis.text(1.03, place, _score_text(line), va="center", fontsize=8, transform=beside)
    for mean in lines.loc[lines["method"] == baseline, "mean"].dropna().astype(float):
        axis.axvline(mean, color="#555555", linestyle=":", linewidth=1)
    axis.set_yticks(places, lines["method"].tolist(), fontsize=9)
    axis.set_xlim(0, 1.05 * np.nanmax(means + np.nan_to_num(spreads), initial=1e-9))
    axis.set_xlabel(label or metric)
    plain(axis)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    return save(figure, path)


def _draw_truth(
    axis: Axes, xy_m: np.ndarray, truth: np.ndarray, class_names: Sequence[str]
) -> None:
    """Draw common classes first, so that a rare one is never hidden."""
    nameless = truth >= len(class_names)
    axis.scatter(xy_m[nameless, 0], xy_m[nameless, 1], s=0.6, c=UNLABELLED, linewidths=0)
    values, counts = np.unique(truth[~nameless], return_counts=True)
    for value in values[np.argsort(-counts)].tolist():
        chosen = xy_m[truth == value]
        colour = class_colour(class_names[value], value)
        axis.scatter(chosen[:, 0], chosen[:, 1], s=_area(len(chosen)), c=colour, linewidths=0)
    axis.set_title("truth", fontsize=10)


def _draw_errors(axis: Axes, xy_m: np.ndarray, wrong: np.ndarray) -> None:
    """Draw right and wrong points alike and in a mixed order: neither may cover the other."""
    order = np.random.default_rng(0).permutation(len(wrong))
    colours = np.where(wrong[order], WRONG, CORRECT)
    axis.scatter(xy_m[order, 0], xy_m[order, 1], s=0.6, c=colours, linewidths=0)


def _area(num_points: int) -> float:
    """Return a mark's area in square points: the fewer there are, the larger."""
    return float(np.clip(4.0 - 0.8 * np.log10(max(num_points, 1)), 0.7, 4.0))


def _scale(axes: Sequence[Axes], radius_m: float) -> None:
    """Same metres everywhere, a bar instead of ticks, the sensor as a cross."""
    length_m = 10 if radius_m > 15 else 2
    for axis in axes:
        axis.set_aspect("equal")
        axis.set_xlim(-radius_m, radius_m)
        axis.set_ylim(-radius_m, radius_m)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.plot(0, 0, "+", color="black", markersize=6, markeredgewidth=1)
        for side in axis.spines.values():
            side.set_color("#999999")
    low = -0.93 * radius_m
    axes[0].plot([low, low + length_m], [low, low], color="black", linewidth=2)
    axes[0].text(low + length_m / 2, low * 0.97, f"{length_m} m", ha="center", va="bottom", size=7)


def class_colour(name: str, index: int) -> str:
    """Return the colour of a class; one that has none of its own takes a line's."""
    return CLASS_COLOURS.get(name, LINES[index % len(LINES)])


def mark(colour: str, label: str) -> Line2D:
    """Return an entry of a legend: a dot of that colour."""
    return Line2D([], [], marker="o", linestyle="", color=colour, markersize=5, label=label)


def _score_text(line: Any) -> str:
    if not line.n:
        return "no finished run"
    spread = "" if pd.isna(line.std) else f" ± {line.std:.2f}"
    return f"{line.mean:.2f}{spread}  (n={line.n})"


def plain(axis: Axes) -> None:
    """Leave only the two axes that carry numbers."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)


def save(figure: Figure, path: Path, bottom: float | None = 0.0) -> Path:
    """Write the whole file or none; `bottom` None leaves the axes where they are."""
    if bottom is not None:
        figure.set_layout_engine("tight", rect=(0, bottom, 1, 1))
    FigureCanvasAgg(figure)
    data = io.BytesIO()
    figure.savefig(data, format=path.suffix.removeprefix(".") or "png", dpi=DPI)
    Store(path.parent).write(path.name, data.getvalue())
    return path
