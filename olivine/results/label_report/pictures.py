"""Pictures of weak labels: over an image and its points, and as figures of what they are worth.

A class has one colour in all of them. Where a colour alone would carry meaning, the class is
also named in the picture or stands on an axis.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from olivine.data.records import IGNORE
from olivine.labels.quality import CameraPoints
from olivine.results.figures import LINES, class_colour, mark, plain, save
from olivine.results.label_report.tally import ALL, true_name

PANEL_INCHES = 4.0  # width of an image in a picture
GRID = (9, 16)  # places at which a region's name may stand
LEGEND_COLUMNS = 7
NAMED_SHARE = 0.015  # of the image, that a class needs to be named in it
MISSING, WRONG_RING = "#9a9a9a", "#ffffff"  # points without a label, and with a wrong one
PIXELS, POINTS, TRUTH = LINES[0], LINES[1], "#222222"


@dataclass(frozen=True)
class LabelledImage:
    """One image with its weak labels and the points that it sees."""

    image: UInt8[np.ndarray, "rows columns 3"]
    ids: UInt8[np.ndarray, "rows columns"]  # of `label_names`
    points: CameraPoints
    point_truth: UInt8[np.ndarray, " M"] | None  # of `true_names`
    true_id: UInt8[np.ndarray, "256"]  # of each label
    label_names: tuple[str, ...]
    true_names: tuple[str, ...]


def camera_picture(path: Path, labelled: LabelledImage, title: str) -> Path:
    """Draw image, labels, labelled points and, where it is known, the points' truth."""
    rows, columns = labelled.ids.shape
    with_truth = labelled.point_truth is not None
    height = PANEL_INCHES * rows / columns
    marks = _legend(labelled)
    num_lines = -(-len(marks) // LEGEND_COLUMNS)
    top, bottom, gap = 0.46, 0.12 + 0.18 * num_lines if with_truth else 0.05, 0.26
    figure = Figure(figsize=(2 * PANEL_INCHES + 0.06, top + 2 * height + gap + bottom))
    size = figure.get_size_inches()
    panels = []
    for place in range(4 if with_truth else 3):
        left = (place % 2) * (PANEL_INCHES + 0.06)
        low = bottom + (1 - place // 2) * (height + gap)
        box = (left / size[0], low / size[1], PANEL_INCHES / size[0], height / size[1])
        panels.append(figure.add_axes(box))
    figure.text(0.5, 1 - 0.06 / size[1], title, ha="center", va="top", size=10)
    _draw_panels(panels, labelled)
    if with_truth:
        style = {"ncols": LEGEND_COLUMNS, "fontsize": 8, "frameon": False, "borderaxespad": 0.1}
        figure.legend(handles=marks, loc="lower center", handletextpad=0.3, **style)
    else:
        centre = (0.75, (bottom + height / 2) / size[1])
        figure.legend(
            handles=marks, loc="center", bbox_to_anchor=centre, ncols=2, fontsize=9, frameon=False
        )
    return save(figure, path, bottom=None)


def class_histogram(path: Path, table: pd.DataFrame) -> Path:
    """Draw the share of each class among labelled pixels and points (the paper's Figure 5).

    `table` has the columns of `label_tally.class_table`. Shares span decades, so their axis is
    logarithmic; a class without any has no mark.
    """
    lines = table[table["label"] != ""].sort_values("pixels_percent", kind="stable")
    places = np.arange(len(lines))
    figure = Figure(figsize=(4.6, 1.1 + 0.27 * len(lines)))
    axis = figure.subplots()
    shares = lines[["pixels_percent", "points_percent", "true_points_percent"]].to_numpy(float)
    positive = shares[shares > 0]
    least = 10 ** np.floor(np.log10(positive.min())) if len(positive) else 0.1
    axis.hlines(places, least, 100, color="#e6e6e6", linewidth=0.8)
    for column, (style, colour, name, size) in enumerate(
        (
            ("o", PIXELS, "pixels", 6),
            ("D", POINTS, "points", 4.5),
            ("|", TRUTH, "points, truth", 11),
        )
    ):
        some, edge = shares[:, column] > 0, 1.8 if style == "|" else 0.0
        if some.any():
            drawn = axis.plot(shares[some, column], places[some], style, color=colour, label=name)
            drawn[0].set(markersize=size, markeredgewidth=edge)
    for place in places[~(shares[:, :2] > 0).any(axis=1)]:
        axis.text(least, place, "none", va="center", size=8, color="#555555")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlim(least * 0.8, 130)
    axis.set_yticks(places, [name.replace("_", " ") for name in lines["label"]])
    axis.set_xlabel("share of the labelled (%), logarithmic")
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, frameon=False, fontsize=9)
    plain(axis)
    return save(figure, path)


def class_scores(path: Path, table: pd.DataFrame, miou_percent: float) -> Path:
    """Draw IoU, precision and recall on points of every class that occurs.

    `table` has the columns of `label_tally.class_table`.
    """
    lines = table[table["iou_percent"].notna()].drop_duplicates("true_class")
    lines = lines.sort_values("iou_percent", kind="stable")
    places = np.arange(len(lines))
    figure = Figure(figsize=(4.6, 1.1 + 0.27 * len(lines)))
    axis = figure.subplots()
    axis.barh(places, lines["iou_percent"], 0.62, color=LINES[5], label="IoU")
    axis.plot(lines["precision_percent"], places, "o", color=LINES[1], label="precision", ms=5)
    axis.plot(lines["recall_percent"], places, "|", color=TRUTH, label="recall", ms=10, mew=1.8)
    axis.axvline(miou_percent, color="#555555", linestyle=":", linewidth=1.2, label="mIoU")
    axis.set_yticks(places, [name.replace("_", " ") for name in lines["true_class"]])
    axis.set_xlim(0, 102)
    axis.set_xlabel("points (%)")
    axis.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=4, frameon=False, fontsize=8)
    plain(axis)
    return save(figure, path)


def range_scores(path: Path, table: pd.DataFrame) -> Path:
    """Draw coverage and, where the truth is known, precision and mIoU against range.

    `table` has the columns of `label_tally.group_table` by range.
    """
    lines = table[table["class"] == ALL].reset_index(drop=True)
    places = np.arange(len(lines))
    figure = Figure(figsize=(4.6, 3.1))
    axis = figure.subplots()
    for column, label, style in (
        ("coverage_percent", "labelled", "s-"),
        ("precision_percent", "of them right", "o-"),
        ("iou_percent", "mIoU", "D-"),
    ):
        if lines[column].notna().any():
            colour = LINES[("s-", "o-", "D-").index(style)]
            axis.plot(places, lines[column], style, color=colour, label=label, ms=5)
    names = [
        f"{name.removesuffix(' m').replace(' m and more', '+')}\n{num:,}"
        for name, num in zip(lines["range"], lines["num_points"], strict=True)
    ]
    axis.set_xticks(places, names)
    axis.set_ylim(0, 102)
    axis.set_xlabel("range (m), and points there")
    axis.set_ylabel("points (%)")
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, frameon=False, fontsize=9)
    plain(axis)
    return save(figure, path)


def _draw_panels(panels: Sequence[Axes], labelled: LabelledImage) -> None:
    image, points = labelled.image, labelled.points
    rows, columns = labelled.ids.shape
    colours = palette(labelled.label_names)
    dark = (0.42 * image.mean(axis=2, keepdims=True).repeat(3, axis=2)).astype(np.uint8)
    wrong = None
    if labelled.point_truth is not None:
        given = labelled.true_id[points.label]
        wrong = (given != labelled.point_truth) & (given != IGNORE)
        wrong &= labelled.point_truth != IGNORE
    panels[0].imshow(image)
    panels[0].set_title("image", fontsize=9, pad=3)
    panels[1].imshow(overlay(image, labelled.ids, colours), interpolation="nearest")
    panels[1].set_title("weak labels; pale: none", fontsize=9, pad=3)
    _name_regions(panels[1], labelled.ids, labelled.label_names)
    panels[2].imshow(dark)
    _draw_points(panels[2], points, colours[points.label], points.label != IGNORE, wrong)
    text = "points by weak label; grey: none" + (", white ring: wrong" if wrong is not None else "")
    panels[2].set_title(text, fontsize=9, pad=3)
    if labelled.point_truth is not None:
        panels[3].imshow(dark)
        true_colours = palette(labelled.true_names)[labelled.point_truth]
        _draw_points(panels[3], points, true_colours, labelled.point_truth != IGNORE, None)
        panels[3].set_title("points by true class", fontsize=9, pad=3)
    for panel in panels:
        panel.set_xlim(-0.5, columns - 0.5)
        panel.set_ylim(rows - 0.5, -0.5)
        panel.set_axis_off()


def _draw_points(
    axis: Axes,
    points: CameraPoints,
    colours: Float[np.ndarray, "M 3"],
    known: Bool[np.ndarray, " M"],
    wrong: Bool[np.ndarray, " M"] | None,
) -> None:
    """Draw points without a class as small grey dots, wrong ones in a white ring."""
    area = float(np.clip(9000 / max(len(known), 1), 2.0, 10.0))
    for chosen, scale, colour in ((~known, 0.3, MISSING), (wrong, 2.4, WRONG_RING)):
        if chosen is not None:
            row, column = points.row[chosen], points.column[chosen]
            axis.scatter(column, row, s=scale * area, c=colour, linewidths=0)
    axis.scatter(points.column[known], points.row[known], s=area, c=colours[known], linewidths=0)


def overlay(
    image: UInt8[np.ndarray, "rows columns 3"],
    ids: UInt8[np.ndarray, "rows columns"],
    colours: Float[np.ndarray, "256 3"],
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return a grey image under the labels' colours; pixels without a label are pale."""
    grey = image.mean(axis=2, keepdims=True) / 255
    labelled = (ids != IGNORE)[..., None]
    weight = np.where(labelled, 0.65, 0.75)
    return (255 * ((1 - weight) * grey + weight * colours[ids])).astype(np.uint8)


def palette(names: Sequence[str]) -> Float[np.ndarray, "256 3"]:
    """Return the colour of every id as red, green and blue from 0 to 1; of IGNORE, white."""
    colours = np.ones((IGNORE + 1, 3))
    for index, name in enumerate(names):
        colours[index] = to_rgb(class_colour(true_name(name), index))
    return colours


def _name_regions(axis: Axes, ids: UInt8[np.ndarray, "rows columns"], names: Sequence[str]) -> None:
    """Write a class's name where it fills most of a cell of a coarse grid."""
    cell_rows, cell_columns = (max(1, s // n) for s, n in zip(ids.shape, GRID, strict=True))
    rows, columns = ids.shape[0] // cell_rows, ids.shape[1] // cell_columns
    inner = ids[: rows * cell_rows, : columns * cell_columns]
    cells = inner.reshape(rows, cell_rows, columns, cell_columns)
    for index, name in enumerate(names):
        share = (cells == index).mean(axis=(1, 3))
        if share.mean() < NAMED_SHARE:
            continue
        # Neighbours count too, so that the name stands inside its region and not on its edge.
        padded = np.pad(share, 1)
        around = share + padded[:-2, 1:-1] + padded[2:, 1:-1]
        around = around + padded[1:-1, :-2] + padded[1:-1, 2:]
        row, column = divmod(int(np.argmax(around)), columns)
        centre_px, width_px = (column + 0.5) * cell_columns, ids.shape[1]
        text = axis.text(
            min(max(centre_px, 0.1 * width_px), 0.9 * width_px),
            (row + 0.5) * cell_rows,
            true_name(name).replace("_", " "),
            size=7,
            ha="center",
            va="center",
        )
        text.set_path_effects([patheffects.withStroke(linewidth=1.8, foreground="white")])


def _legend(labelled: LabelledImage) -> list[Line2D]:
    """Return an entry for each class that occurs in the picture, in the labels' order."""
    shown: dict[str, str] = {}
    for names, ids in (
        (labelled.label_names, labelled.ids),
        (labelled.true_names, labelled.point_truth),
    ):
        for index in _ids(ids):
            name = true_name(names[index])
            shown.setdefault(name, class_colour(name, index))
    return [mark(colour, name.replace("_", " ")) for name, colour in shown.items()]


def _ids(ids: UInt8[np.ndarray, "..."] | None) -> Iterable[int]:
    return () if ids is None else [int(i) for i in np.unique(ids) if i != IGNORE]
