"""Statistics of labels over many frames: sums by camera and range, and tables of them.

A point seen by two cameras is two pairs with two labels, as in pretraining (method.md §1.3), so
"points" here counts pairs. Range is the horizontal distance to the sensor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from olivine.data.records import IGNORE, Frame
from olivine.labels.quality import (
    TRUE_NAME,
    Agreement,
    LabelMaps,
    agreement_of,
    confusion_of,
    points_by_camera,
    true_ids,
)

RANGE_EDGES_M = (0, 10, 20, 30, 50)  # the last range has no end
RANGE_NAMES = ("0–10 m", "10–20 m", "20–30 m", "30–50 m", "50 m and more")
ALL = "all"  # name of the row over all classes

ReadTruth = Callable[[str], np.ndarray]  # image's name -> true class ids of its pixels


@dataclass(frozen=True)
class Confusion:
    """Points that have a label and another true class."""

    labelled: str
    truly: str
    num_points: int
    share_of_label: float  # of the points with that label whose truth is known
    share_of_errors: float  # of all points with a wrong label


class LabelStatistics:
    """Sums over the counted frames; its size does not grow with them."""

    def __init__(
        self, camera_names: Sequence[str], label_names: Sequence[str], true_names: Sequence[str]
    ):
        self.camera_names, self.label_names = tuple(camera_names), tuple(label_names)
        self.true_names = tuple(true_names)
        self.true_id = true_ids(label_names, true_names)
        cameras, ranges, classes = len(camera_names), len(RANGE_EDGES_M), len(true_names)
        self.pixel_labels = np.zeros((cameras, IGNORE + 1), np.int64)
        self.point_labels = np.zeros((cameras, ranges, IGNORE + 1), np.int64)
        self.pixel_confusion = np.zeros((cameras, classes, classes + 1), np.int64)
        self.point_confusion = np.zeros((cameras, ranges, classes, classes + 1), np.int64)
        self.num_frames = self.num_images = 0
        self.num_scan_points = self.num_seen_points = 0  # seen by at least one camera

    def add(self, frame: Frame, maps: LabelMaps, read_truth: ReadTruth | None = None) -> None:
        """Count the labels of the cameras that have a map, against the truth where it is known."""
        num_classes = len(self.true_names)
        range_m = np.hypot(frame.xyz_m[:, 0], frame.xyz_m[:, 1])
        bins = np.digitize(range_m, RANGE_EDGES_M[1:])
        seen = np.zeros(len(range_m), bool)
        for camera, points in points_by_camera(frame, maps).items():
            seen[points.point_index] = True
            ids = maps[camera]
            self.pixel_labels[camera] += np.bincount(ids.ravel(), minlength=IGNORE + 1)
            if read_truth:
                truth = read_truth(frame.image_names[camera])
                counts = confusion_of(truth, self.true_id[ids], num_classes)
                self.pixel_confusion[camera] += counts
            for bin_index in range(len(RANGE_EDGES_M)):
                chosen = bins[points.point_index] == bin_index
                labels = points.label[chosen]
                self.point_labels[camera, bin_index] += np.bincount(labels, minlength=IGNORE + 1)
                if frame.class_ids is not None:
                    truth = frame.class_ids[points.point_index[chosen]]
                    counts = confusion_of(truth, self.true_id[labels], num_classes)
                    self.point_confusion[camera, bin_index] += counts
        self.num_frames += 1
        self.num_images += len(maps)
        self.num_scan_points += len(seen)
        self.num_seen_points += int(seen.sum())

    @property
    def pixels(self) -> Agreement | None:
        """Pixels against the truth, where a synthetic world has it."""
        return agreement_of(self.pixel_confusion.sum(axis=0), self.true_names)

    @property
    def points(self) -> Agreement | None:
        """Points against the truth, where their classes are known."""
        return agreement_of(self.point_confusion.sum(axis=(0, 1)), self.true_names)

    @property
    def pixel_coverage(self) -> float:
        """Share of the pixels that have a label."""
        return _coverage(self.pixel_labels.sum(axis=0))

    @property
    def point_coverage(self) -> float:
        """Share of the points seen by a camera that have a label."""
        return _coverage(self.point_labels.sum(axis=(0, 1)))

    def unknown_labels(self) -> list[str]:
        """Return labels without a true class; they count as no label in every comparison."""
        known = self.true_id[: len(self.label_names)] != IGNORE
        return [name for name, same in zip(self.label_names, known, strict=True) if not same]


def class_table(statistics: LabelStatistics) -> pd.DataFrame:
    """Return a row per class of the labels, then per true class without a label.

    Shares are of all labelled pixels or points, in percent; NaN if there are none.
    """
    num_classes = len(statistics.label_names)
    pixels = statistics.pixel_labels.sum(axis=0)[:num_classes]
    points = statistics.point_labels.sum(axis=(0, 1))[:num_classes]
    true_points = statistics.point_confusion.sum(axis=(0, 1, 3))
    rows = []
    for index, name in enumerate(statistics.label_names):
        true_id = int(statistics.true_id[index])
        true_name = statistics.true_names[true_id] if true_id != IGNORE else ""
        rows.append((name, true_name, int(pixels[index]), int(points[index])))
    meant = {row[1] for row in rows}
    rows += [("", name, 0, 0) for name in statistics.true_names if name not in meant]
    table = pd.DataFrame(rows, columns=["label", "true_class", "num_pixels", "num_points"])
    table.insert(3, "pixels_percent", _percent_of_sum(table["num_pixels"].to_numpy()))
    table["points_percent"] = _percent_of_sum(table["num_points"].to_numpy())
    shares = dict(zip(statistics.true_names, _percent_of_sum(true_points), strict=True))
    table["true_points_percent"] = [shares.get(name, np.nan) for name in table["true_class"]]
    for prefix, agreement in (("", statistics.points), ("pixel_", statistics.pixels)):
        for what in ("precision", "recall", "iou"):
            scores = getattr(agreement, what) if agreement else {}
            values = [100 * scores.get(name, np.nan) for name in table["true_class"]]
            table[f"{prefix}{what}_percent"] = values
    return table


def group_table(statistics: LabelStatistics, by: Literal["camera", "range"]) -> pd.DataFrame:
    """Return scores on points of every camera or range: a row `all`, then one per true class.

    In the row `all`, precision is the share of labelled points that are right, recall the share of
    all points whose label is right, IoU the mean over the classes that occur. Points and coverage
    count all points of the camera or range; in a class's row, those of that true class.
    """
    names, other = (statistics.camera_names, 1) if by == "camera" else (RANGE_NAMES, 0)
    labels = statistics.point_labels.sum(axis=other)
    confusions = statistics.point_confusion.sum(axis=other)
    rows = []
    for group, counts, confusion in zip(names, labels, confusions, strict=True):
        agreement = agreement_of(confusion, statistics.true_names)
        row = {by: group, "class": ALL, "num_points": int(counts.sum())}
        row["coverage_percent"] = 100 * _coverage(counts)
        rows.append({**row, **_overall(agreement)})
        for index, name in enumerate(statistics.true_names):
            if agreement and name in agreement.iou:
                num_true = int(confusion[index].sum())
                given = confusion[index, :-1].sum()
                row = {by: group, "class": name, "num_points": num_true}
                row["coverage_percent"] = 100 * given / num_true if num_true else np.nan
                rows.append({**row, **_of_class(agreement, name)})
    return pd.DataFrame(rows)


def largest_confusions(statistics: LabelStatistics, num_wanted: int = 6) -> list[Confusion]:
    """Return the pairs (label, true class) of most wrong points, the most frequent first."""
    counts = statistics.point_confusion.sum(axis=(0, 1))[:, :-1].copy()
    labelled = counts.sum(axis=0)
    np.fill_diagonal(counts, 0)
    num_wrong = counts.sum()
    names, found = statistics.true_names, []
    for pair in np.argsort(-counts, axis=None, kind="stable")[:num_wanted]:
        true, label = np.unravel_index(pair, counts.shape)
        num = int(counts[true, label])
        if num:
            of_label, of_errors = num / labelled[label], num / num_wrong
            found.append(Confusion(names[label], names[true], num, of_label, of_errors))
    return found


def true_name(label: str) -> str:
    """Return the evaluation's name of a label's class, which decides its colour."""
    return TRUE_NAME.get(label, label)


def _overall(agreement: Agreement | None) -> dict[str, float]:
    if agreement is None:
        return dict.fromkeys(("precision_percent", "recall_percent", "iou_percent"), np.nan)
    return {
        "precision_percent": 100 * agreement.accuracy if agreement.coverage else np.nan,
        "recall_percent": 100 * agreement.accuracy * agreement.coverage,
        "iou_percent": 100 * agreement.miou,
    }


def _of_class(agreement: Agreement, name: str) -> dict[str, float]:
    return {
        f"{what}_percent": 100 * getattr(agreement, what).get(name, np.nan)
        for what in ("precision", "recall", "iou")
    }


def _coverage(counts: Int[np.ndarray, " ids"]) -> float:
    return float(counts[:IGNORE].sum() / counts.sum()) if counts.sum() else float("nan")


def _percent_of_sum(counts: Int[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"]:
    total = counts.sum()
    return 100 * counts / total if total else np.full(len(counts), np.nan)
