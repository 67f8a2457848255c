"""Figures of results for papers: drawn without a screen, at the width of a column.

Each is written twice, as PNG and as PDF with vectors and embedded fonts. A figure can be read in
grey, and the colour-blind can distinguish colours that carry meaning.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from olivine.core.storage import Store
from olivine.data.records import IGNORE
from olivine.results.colours import CORRECT, UNLABELLED, WRONG, LineStyle, class_colour
from olivine.results.words import MARK, class_words, marked, short

SINGLE_COLUMN_INCHES, DOUBLE_COLUMN_INCHES = 3.25, 6.75
DPI = 300  # of the PNG, and of the clouds of points in a PDF
TEXT_POINTS, LABEL_POINTS = 7.0, 8.0  # the smallest text and that of titles and axes
MAX_NAMES_INSIDE = 5  # lines whose legend has room within the axes
LONG_NAME = 18  # characters; a longer one needs both columns
MAX_TITLE = 20  # characters of a method above its panel, the third of two columns
GUIDE = "#e6e6e6"  # lines that only guide the eye


def error_figure(
    xyz_m: Float[np.ndarray, "N 3"],
    true_ids: Integer[np.ndarray, " N"],
    predictions: Mapping[str, Integer[np.ndarray, " N"]],
    class_names: Sequence[str],
    *,
    radius_m: float = 40.0,
) -> Figure:
    """Draw the true classes and each method's wrong points, seen from above.

    Points without a true class (`IGNORE`) are left out of the errors and of the share in the
    titles. The driving direction is up for nuScenes (its y axis) and to the right for SemanticKITTI
    (its x axis).
    """
    near = (np.abs(xyz_m[:, :2]) <= radius_m).all(axis=1)
    xy_m, truth = xyz_m[near][:, :2], true_ids[near]
    known = truth != IGNORE
    shown = [i for i in np.unique(truth[known]).tolist() if i < len(class_names)]
    marks = [mark(class_colour(class_names[i], i), class_words(class_names[i])) for i in shown]
    marks += [mark(CORRECT, "right"), mark(WRONG, "wrong")]
    num_columns = min(6, len(marks))
    figure, axes = _square_panels(1 + len(predictions), 0.16 * -(-len(marks) // num_columns))
    _draw_truth(axes[0], xy_m, truth, class_names)
    for panel, (method, ids) in zip(axes[1:], predictions.items(), strict=True):
        wrong = known & (ids[near] != truth)
        _draw_errors(panel, xy_m[known], wrong[known])
        share = 100 * wrong.sum() / max(known.sum(), 1)
        panel.set_title(f"{short(method, MAX_TITLE)}: {share:.1f} % wrong", fontsize=LABEL_POINTS)
    _scale(axes, radius_m)
    figure.legend(
        handles=marks, loc="lower center", ncols=num_columns, fontsize=TEXT_POINTS, frameon=False,
        borderaxespad=0.1, handletextpad=0.2, columnspacing=1.0, labelspacing=0.3,
    )  # fmt: skip
    return figure


def learning_curves(curves: pd.DataFrame, styles: Mapping[str, LineStyle], ylabel: str) -> Figure:
    """Draw a line per name (the mean over seeds) within a band of one standard deviation.

    `curves` has the columns name, method, seed, step, value; seeds may have different steps. A line
    has the style of its method, one of `styles`.
    """
    names = curves["name"].unique()
    beside = len(names) > MAX_NAMES_INSIDE or max(map(len, names), default=0) > LONG_NAME
    height = max(2.3, 0.4 + 0.15 * len(names)) if beside else 2.3
    figure = Figure(
        figsize=(DOUBLE_COLUMN_INCHES if beside else SINGLE_COLUMN_INCHES, height), layout="tight"
    )
    axis = figure.subplots()
    for (name, method), lines in curves.groupby(["name", "method"], sort=False):
        style = styles[str(method)]
        steps = lines.groupby("step")["value"].agg(["mean", "std"]).sort_index()
        mean, std = steps["mean"].to_numpy(), steps["std"].fillna(0).to_numpy()
        dash = (0, style.dash_lengths() or None)
        axis.plot(steps.index, mean, ls=dash, lw=1.2, color=style.colour, label=str(name))
        axis.fill_between(steps.index, mean - std, mean + std, color=style.colour, alpha=0.18, lw=0)
    axis.set_xlabel("step")
    axis.set_ylabel(ylabel)
    beside_axes = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if beside else {}
    axis.legend(frameon=False, fontsize=TEXT_POINTS, handlelength=3.2, **beside_axes)
    plain(axis)
    return figure


def score_bars(
    table: pd.DataFrame,
    styles: Mapping[str, LineStyle],
    metric: str,
    *,
    label: str,
    baseline: str = "",
) -> Figure:
    """Draw a bar per method with its deviation over seeds; a line marks the baseline's mean.

    `table` has the columns method, metric, mean, std, n and, where some score has one, overlap;
    `label` is the metric's name with its unit. A method without a finished run keeps its place,
    with a remark.
    """
    lines = table[table["metric"] == metric].reset_index(drop=True)
    if "overlap" not in lines:
        lines["overlap"] = ""
    compared = lines.loc[lines["method"] == baseline, "mean"].dropna()
    below = [] if compared.empty else [f"dotted: {short(baseline, LONG_NAME)}"]
    below += [f"{MARK} learnt from scored scenes"] if any(lines["overlap"]) else []
    is_wide = lines["method"].map(len).max() > LONG_NAME
    figure = Figure(
        figsize=(
            DOUBLE_COLUMN_INCHES if is_wide else SINGLE_COLUMN_INCHES,
            0.5 + 0.12 * len(below) + 0.22 * len(lines),
        ),
        layout="tight",
    )
    axis = figure.subplots()
    heights = np.arange(len(lines))[::-1]
    means, spreads = lines["mean"].to_numpy(), lines["std"].to_numpy()
    spread_style = {"ecolor": "#333333", "capsize": 2, "elinewidth": 0.9}
    colours = [styles[method].colour for method in lines["method"]]
    axis.barh(heights, means, 0.66, xerr=spreads, color=colours, alpha=0.75, error_kw=spread_style)
    for height, line in zip(heights, lines.itertuples(), strict=True):
        beside = axis.get_yaxis_transform()  # x in widths of the axes, y in data
        axis.text(
            1.02, height, _score_text(line), va="center", fontsize=TEXT_POINTS, transform=beside
        )
    for mean in compared.astype(float):
        axis.axvline(mean, color="#555555", linestyle=":", linewidth=1)
    axis.set_yticks(heights, [short(name, 60) for name in lines["method"]])
    axis.set_xlim(0, 1.05 * np.nanmax(means + np.nan_to_num(spreads), initial=1e-9))
    axis.set_ylim(-0.6, len(lines) - 0.4)
    axis.set_xlabel("\n".join((label, *below)))
    plain(axis)
    axis.grid(axis="x", color=GUIDE, linewidth=0.6)
    axis.set_axisbelow(True)
    return figure


def mark(colour: str, label: str) -> Line2D:
    """Return a legend entry: a dot of that colour."""
    return Line2D([], [], marker="o", linestyle="", color=colour, markersize=4, label=label)


def plain(axis: Axes) -> None:
    """Leave only the two axes that carry numbers, and write them small."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=TEXT_POINTS)
    for label in (axis.xaxis.label, axis.yaxis.label):
        label.set_fontsize(LABEL_POINTS)


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure as PNG and as PDF, atomically; equal figures give equal bytes."""
    return write_figure(figure, folder / f"{name}.png"), write_figure(
        figure, folder / f"{name}.pdf"
    )


def write_figure(figure: Figure, path: Path, dpi: int = DPI) -> Path:
    """Write a figure in the format of the path's suffix."""
    kind = path.suffix.removeprefix(".")
    metadata = {"CreationDate": None} if kind == "pdf" else {}
    data = io.BytesIO()
    FigureCanvasAgg(figure)
    with mpl.rc_context({"pdf.fonttype": 42}):  # TrueType, which publishers require
        figure.savefig(data, format=kind, dpi=dpi, metadata=metadata)
    Store(path.parent).write(path.name, data.getvalue())
    return path


def _square_panels(num_panels: int, legend_inches: float) -> tuple[Figure, list[Axes]]:
    """Return equal panels beside each other, titles above them and a legend below."""
    gap, title = 0.06, 0.24
    width = DOUBLE_COLUMN_INCHES
    side = (width - gap * (num_panels + 1)) / num_panels
    height = title + side + 2 * gap + legend_inches
    figure = Figure(figsize=(width, height))
    size = (side / width, side / height)
    lefts = [(gap + index * (side + gap)) / width for index in range(num_panels)]
    bottom = (legend_inches + gap) / height
    return figure, [figure.add_axes((left, bottom, *size)) for left in lefts]


def _draw_truth(
    axis: Axes, xy_m: np.ndarray, truth: np.ndarray, class_names: Sequence[str]
) -> None:
    """Draw common classes first, so that a rare one is never hidden."""
    nameless = truth >= len(class_names)
    _draw_points(axis, xy_m[nameless], UNLABELLED, 0.4)
    values, counts = np.unique(truth[~nameless], return_counts=True)
    for value in values[np.argsort(-counts)].tolist():
        chosen = xy_m[truth == value]
        _draw_points(axis, chosen, class_colour(class_names[value], value), _area(len(chosen)))
    axis.set_title("truth", fontsize=LABEL_POINTS)


def _draw_errors(axis: Axes, xy_m: np.ndarray, wrong: np.ndarray) -> None:
    """Draw right and wrong points in a mixed order, so that neither cover the others."""
    order = np.random.default_rng(0).permutation(len(wrong))
    _draw_points(axis, xy_m[order], np.where(wrong[order], WRONG, CORRECT), 0.4)


def _draw_points(axis: Axes, xy_m: np.ndarray, colour: str | np.ndarray, area: float) -> None:
    """Draw points as pixels, also in a PDF, where ten thousand circles are slow to display."""
    axis.scatter(xy_m[:, 0], xy_m[:, 1], s=area, c=colour, linewidths=0, rasterized=True)


def _area(num_points: int) -> float:
    """Return a mark's area in square points, which is larger for fewer marks."""
    return float(np.clip(2.4 - 0.5 * np.log10(max(num_points, 1)), 0.45, 2.4))


def _scale(axes: Sequence[Axes], radius_m: float) -> None:
    """Set one scale for all axes, with a bar instead of ticks and a cross at the sensor."""
    length_m = 10 if radius_m > 15 else 2
    for axis in axes:
        axis.set_aspect("equal")
        axis.set_xlim(-radius_m, radius_m)
        axis.set_ylim(-radius_m, radius_m)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.plot(0, 0, "+", color="black", markersize=5, markeredgewidth=0.8)
        for side in axis.spines.values():
            side.set_color("#999999")
    low = -0.93 * radius_m
    axes[0].plot([low, low + length_m], [low, low], color="black", linewidth=1.5)
    middle = low + length_m / 2
    axes[0].text(middle, low * 0.97, f"{length_m} m", ha="center", va="bottom", size=TEXT_POINTS)


def _score_text(line: Any) -> str:
    if not line.n:
        return "no finished run"
    spread = "" if pd.isna(line.std) else f" ± {line.std:.2f}"
    return f"{marked(f'{line.mean:.2f}{spread}', line.overlap)} (n={line.n})"
