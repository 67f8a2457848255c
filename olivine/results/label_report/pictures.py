"""Pictures of weak labels, over an image and its points.

A class has one colour in all of them, and its name is written in the picture, because colour alone
must not carry meaning.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from olivine.data.records import IGNORE, Frame
from olivine.labels.opened_job import LabelJob
from olivine.labels.quality import CameraPoints, points_by_camera, read_maps, true_ids
from olivine.results.colours import class_colour
from olivine.results.figures import mark, write_figure
from olivine.results.label_report.statistics import true_name
from olivine.results.words import class_words

PANEL_INCHES = 4.0  # width of an image in a picture
NAME_POSITIONS = (9, 16)  # rows and columns of the grid of positions for names
NAME_POINTS, LETTER_INCHES = 7, 0.06  # a region's name, and how wide one of its letters is
LEGEND_COLUMNS = 7
NAMED_SHARE = 0.015  # smallest share of the image of a class that is named in it
MISSING, WRONG_RING = "#9a9a9a", "#ffffff"  # points without a label, and with a wrong one
DPI = 200


@dataclass(frozen=True)
class LabelledView:
    """One image with its weak labels and the points that it sees."""

    image: UInt8[np.ndarray, "rows columns 3"]
    ids: UInt8[np.ndarray, "rows columns"]  # of `label_names`
    points: CameraPoints
    point_truth: UInt8[np.ndarray, " M"] | None  # of `true_names`
    true_id: UInt8[np.ndarray, "256"]  # of each label
    label_names: tuple[str, ...]
    true_names: tuple[str, ...]


def draw_frames(
    job: LabelJob, indices: Sequence[int], have: Collection[str], folder: Path
) -> dict[str, dict[str, Path]]:
    """Write a picture of every camera that has labels, of some frames of a job's data set.

    `have` are the images with a label map. Returns files by the frame's name and the camera.
    """
    drawn: dict[str, dict[str, Path]] = {}
    for index in indices:
        frame = job.frames.frame(index)
        maps = read_maps(frame, job.store, have)
        drawn[f"{frame.scene}, {frame.token}"] = {
            job.frames.camera_names[camera]: _draw_camera(job, frame, camera, ids, folder)
            for camera, ids in maps.items()
        }
    return drawn


def camera_picture(path: Path, labelled: LabelledView, title: str) -> Path:
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
    for panel in range(4 if with_truth else 3):
        left = (panel % 2) * (PANEL_INCHES + 0.06)
        low = bottom + (1 - panel // 2) * (height + gap)
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
    return write_figure(figure, path, dpi=DPI)


def _draw_camera(
    job: LabelJob, frame: Frame, camera: int, ids: UInt8[np.ndarray, "_ _"], folder: Path
) -> Path:
    points = points_by_camera(frame, {camera: ids})[camera]
    labelled = LabelledView(
        image=frame.images[camera].pixels(),
        ids=ids,
        points=points,
        point_truth=None if frame.class_ids is None else frame.class_ids[points.point_index],
        true_id=true_ids(job.store.class_names, job.frames.class_names),
        label_names=job.store.class_names,
        true_names=job.frames.class_names,
    )
    name = job.frames.camera_names[camera]
    title = f"{name}, {frame.scene}, labelled by {job.labeller.kind}"
    title += ", WHICH READS THE TRUTH" if job.labeller.depends_on_truth else ""
    return camera_picture(folder / f"frame-{frame.token}-{name}.png", labelled, title)


def _draw_panels(panels: Sequence[Axes], labelled: LabelledView) -> None:
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
    cell_rows, cell_columns = (
        max(1, s // n) for s, n in zip(ids.shape, NAME_POSITIONS, strict=True)
    )
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
        words = class_words(true_name(name))
        room_px = (0.01 + 0.5 * len(words) * LETTER_INCHES / PANEL_INCHES) * width_px
        text = axis.text(
            min(max(centre_px, room_px), width_px - room_px),
            (row + 0.5) * cell_rows,
            words,
            size=NAME_POINTS,
            ha="center",
            va="center",
        )
        text.set_path_effects([patheffects.withStroke(linewidth=1.8, foreground="white")])


def _legend(labelled: LabelledView) -> list[Line2D]:
    """Return an entry for each class that occurs in the picture, in the labels' order."""
    shown: dict[str, str] = {}
    for names, ids in (
        (labelled.label_names, labelled.ids),
        (labelled.true_names, labelled.point_truth),
    ):
        for index in _ids(ids):
            name = true_name(names[index])
            shown.setdefault(name, class_colour(name, index))
    return [mark(colour, class_words(name)) for name, colour in shown.items()]


def _ids(ids: UInt8[np.ndarray, "..."] | None) -> Iterable[int]:
    return () if ids is None else [int(i) for i in np.unique(ids) if i != IGNORE]
