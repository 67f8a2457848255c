"""Figures of the quality of weak labels, by class and by range."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from olivine.results.colours import BLUE, LIGHT_BLUE, ORANGE, PALETTE
from olivine.results.figures import GUIDE, SINGLE_COLUMN_INCHES, TEXT_POINTS, plain, save
from olivine.results.label_report.statistics import ALL, LabelStatistics
from olivine.results.words import class_words

TRUTH = "#222222"


def write_figures(
    statistics: LabelStatistics, tables: Mapping[str, pd.DataFrame], folder: Path
) -> dict[str, tuple[Path, Path]]:
    """Write all figures for which there are data as PNG and PDF; return the files by name."""
    drawn = {
        "histogram": class_histogram(tables["classes"]),
        "ranges": range_scores(tables["ranges"]),
    }
    if statistics.points:
        drawn["iou"] = class_scores(tables["classes"], 100 * statistics.points.miou)
    return {name: save(figure, folder, name) for name, figure in drawn.items()}


def class_histogram(table: pd.DataFrame) -> Figure:
    """Draw the share of each class among labelled pixels and points (the paper's Figure 5).

    `table` has the columns of `statistics.class_table`. Shares span decades, so their axis is
    logarithmic; a class without labels has no mark.
    """
    lines = table[table["label"] != ""].sort_values("pixels_percent", kind="stable")
    figure, axis, heights = _lines_by_class(lines["label"])
    shares = lines[["pixels_percent", "points_percent", "true_points_percent"]].to_numpy(float)
    positive = shares[shares > 0]
    least = 10 ** np.floor(np.log10(positive.min())) if len(positive) else 0.1
    axis.hlines(heights, least, 100, color=GUIDE, linewidth=0.8)
    for column, (style, colour, name, size) in enumerate(
        (
            ("o", BLUE, "pixels", 4.5),
            ("D", ORANGE, "points", 3.5),
            ("|", TRUTH, "points, truth", 8),
        )
    ):
        some, edge = shares[:, column] > 0, 1.4 if style == "|" else 0.0
        if some.any():
            drawn = axis.plot(shares[some, column], heights[some], style, color=colour, label=name)
            drawn[0].set(markersize=size, markeredgewidth=edge)
    for height in heights[~(shares[:, :2] > 0).any(axis=1)]:
        axis.text(least, height, "none", va="center", size=TEXT_POINTS, color="#555555")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlim(least * 0.8, 130)
    axis.set_xlabel("share of the labelled (%)")
    _finish(axis)
    return figure


def class_scores(table: pd.DataFrame, miou_percent: float) -> Figure:
    """Draw IoU, precision and recall on points of every class that occurs.

    `table` has the columns of `statistics.class_table`.
    """
    lines = table[table["iou_percent"].notna()].drop_duplicates("true_class")
    lines = lines.sort_values("iou_percent", kind="stable")
    figure, axis, heights = _lines_by_class(lines["true_class"])
    axis.barh(heights, lines["iou_percent"], 0.62, color=LIGHT_BLUE, label="IoU")
    axis.plot(lines["precision_percent"], heights, "o", color=ORANGE, label="precision", ms=3.5)
    axis.plot(lines["recall_percent"], heights, "|", color=TRUTH, label="recall", ms=7, mew=1.4)
    axis.axvline(miou_percent, color="#555555", linestyle=":", linewidth=1, label="mIoU")
    axis.set_xlim(0, 102)
    axis.set_xlabel("points (%)")
    _finish(axis)
    return figure


def range_scores(table: pd.DataFrame) -> Figure:
    """Draw coverage and, where the truth is known, precision and mIoU against range.

    `table` has the columns of `statistics.group_table` by range.
    """
    lines = table[table["class"] == ALL].reset_index(drop=True)
    positions = np.arange(len(lines))
    figure = Figure(figsize=(SINGLE_COLUMN_INCHES, 2.5), layout="tight")
    axis = figure.subplots()
    for column, label, style, colour in (
        ("coverage_percent", "labelled", "s-", PALETTE[0]),
        ("precision_percent", "of them right", "o-", PALETTE[1]),
        ("iou_percent", "mIoU", "D-", PALETTE[2]),
    ):
        if lines[column].notna().any():
            axis.plot(positions, lines[column], style, color=colour, label=label, ms=3.5, lw=1.2)
    names = [
        f"{name.removesuffix(' m').replace(' m and more', '+')}\n{num:,}"
        for name, num in zip(lines["range"], lines["num_points"], strict=True)
    ]
    axis.set_xticks(positions, names)
    axis.set_ylim(0, 102)
    axis.set_xlabel("range (m), and points there")
    axis.set_ylabel("points (%)")
    axis.grid(axis="y", color=GUIDE, linewidth=0.8)
    _finish(axis)
    return figure


def _lines_by_class(names: pd.Series) -> tuple[Figure, Axes, np.ndarray]:
    """Return axes with a line for each class, and the lines' heights."""
    heights = np.arange(len(names))
    figure = Figure(figsize=(SINGLE_COLUMN_INCHES, 0.75 + 0.17 * len(names)), layout="tight")
    axis = figure.subplots()
    axis.set_yticks(heights, [class_words(name) for name in names])
    axis.set_ylim(-0.6, max(len(names), 1) - 0.4)
    return figure, axis, heights


def _finish(axis: Axes) -> None:
    """Put the legend above the axes, so that it hides nothing."""
    if axis.get_legend_handles_labels()[0]:
        above = {"loc": "lower center", "bbox_to_anchor": (0.4, 1.0), "ncols": 4}
        axis.legend(
            frameon=False, fontsize=TEXT_POINTS, columnspacing=1.0, handletextpad=0.3, **above
        )
    plain(axis)
