"""The page of a label report: the values of its template, and its main facts as sentences."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from olivine.core.storage import Store
from olivine.data.dataset import Dataset
from olivine.labels.labeller import Labeller
from olivine.results import html
from olivine.results.colours import class_colour
from olivine.results.label_report.statistics import ALL, Confusion, LabelStatistics, true_name
from olivine.results.words import ABSENT, class_words, percent

CLASS_SHARES = {
    "label": "label",
    "true_class": "true class, if other",
    "pixels_percent": "labelled pixels (%)",
    "points_percent": "labelled points (%)",
    "true_points_percent": "points, truth (%)",
    "num_pixels": "pixels",
    "num_points": "points",
}
CLASS_SCORES = {
    "true_class": "class",
    "true_points_percent": "points, truth (%)",
    "precision_percent": "precision (%)",
    "recall_percent": "recall (%)",
    "iou_percent": "IoU (%)",
    "pixel_precision_percent": "precision, pixels (%)",
    "pixel_recall_percent": "recall, pixels (%)",
    "pixel_iou_percent": "IoU, pixels (%)",
}
GROUP_SCORES = {
    "num_points": "points",
    "coverage_percent": "labelled (%)",
    "precision_percent": "of them right (%)",
    "iou_percent": "mIoU (%)",
}
CONFUSIONS = {
    "labelled": "labelled",
    "truly": "truly",
    "num_points": "points",
    "share_of_errors": "of all wrong points (%)",
    "share_of_label": "of the points with this label (%)",
}


@dataclass(frozen=True)
class Page:
    """The contents of the page."""

    labeller: Labeller
    dataset: Dataset
    dataset_fingerprint: str
    labels_fingerprint: str  # of the labelling run
    num_missing: int  # images without labels
    num_images: int  # of the data set
    num_frames: int  # of the data set
    statistics: LabelStatistics
    tables: Mapping[str, pd.DataFrame]  # classes, cameras, ranges
    confusions: Sequence[Confusion]
    figures: Mapping[str, Path]  # histogram, ranges and, where the truth is known, iou
    pictures: Mapping[str, Mapping[str, Path]]  # frame -> camera -> file
    command: str
    provenance: Mapping[str, str]

    def warnings(self) -> list[str]:
        """Return the warnings that precede all numbers, the worst first."""
        kind, found = self.labeller.kind, []
        if self.labeller.depends_on_truth:
            found.append(
                f"These labels were made from the truth by {kind!r}: they are an upper bound, "
                "not weak labels, and no result with them is one without annotation."
            )
        if self.labeller.note:
            found.append(f"Of the labeller {kind!r}: {self.labeller.note}")
        if self.num_missing:
            found.append(
                f"{self.num_missing:,} of {self.num_images:,} images have no labels and are left "
                "out; `olivine label` makes the missing ones."
            )
        if unknown := self.statistics.unknown_labels():
            found.append(
                f"No true class is meant by {', '.join(unknown)}: where the truth is asked, "
                "these labels count as none."
            )
        return found

    def sentences(self) -> list[str]:
        """Return the main facts, for a terminal."""
        counted, points = self.statistics, self.statistics.points
        lines = [
            f"{counted.num_frames:,} of {self.num_frames:,} frames ({counted.num_images:,} images) "
            f"were counted: {percent(counted.pixel_coverage)} of the pixels and "
            f"{percent(counted.point_coverage)} of the points seen by a camera have a label."
        ]
        if points:
            lines.append(
                f"Of the labelled points {percent(points.accuracy)} are right; mIoU "
                f"{percent(points.miou)}."
            )
        else:
            lines.append("The data set has no true classes of points to compare with.")
        lines += [
            f"Labelled {c.labelled}, truly {c.truly}: {c.num_points:,} points, "
            f"{percent(c.share_of_errors)} of the wrong ones."
            for c in self.confusions[:3]
        ]
        return [*self.warnings(), *lines]


def write_label_page(path: Path, page: Page) -> Path:
    """Write the page with its pictures inside."""
    Store(path.parent).write(path.name, label_page_html(page).encode())
    return path


def label_page_html(page: Page) -> str:
    """Return the page as HTML that needs no other file and no script."""
    return html.render(
        "label_report.html.j2",
        title=f"Label report: {page.labeller.kind}",
        page=page,
        facts=list(_facts(page)),
        classes=_classes(page),
        truth=_truth(page),
        groups={by: _group(page.tables[f"{by}s"], by) for by in ("range", "camera")},
        figures={
            name: html.picture(path.read_bytes(), "png", _FIGURES[name])
            for name, path in page.figures.items()
        },
        figure_texts=_FIGURES,
        legend=_legend(page.statistics),
        pictures={
            frame: [
                html.picture(html.as_jpeg(path), "jpeg", f"{camera} of {frame}")
                for camera, path in cameras.items()
            ]
            for frame, cameras in page.pictures.items()
        },
        origin=_origin(page),
        labeller_settings=json.dumps(page.labeller.to_dict(), indent=1),
        dataset_settings=json.dumps(page.dataset.to_dict(), indent=1),
    )


_FIGURES = {
    "histogram": "Share of each class",
    "iou": "Scores of each class, on points",
    "ranges": "Range is the horizontal distance to the LiDAR",
}


def _facts(page: Page) -> Iterator[tuple[str, str]]:
    counted = page.statistics
    yield "counted frames", f"{counted.num_frames:,} of {page.num_frames:,}"
    yield "counted images", f"{counted.num_images:,}"
    yield "pixels with a label", percent(counted.pixel_coverage)
    yield "pixels ignored", percent(1 - counted.pixel_coverage)
    seen = counted.num_seen_points / max(1, counted.num_scan_points)
    yield "points seen by a camera", percent(seen)
    yield "of these, with a label", percent(counted.point_coverage)
    for what, agreement in (("points", counted.points), ("pixels", counted.pixels)):
        if agreement:
            yield f"labelled {what} that are right", percent(agreement.accuracy)
            yield f"mIoU on {what}", percent(agreement.miou)


def _classes(page: Page) -> Markup:
    table = page.tables["classes"]
    table = table[table["label"] != ""].sort_values("pixels_percent", ascending=False)
    other = table["true_class"].where(table["true_class"] != table["label"], "")
    return _table(table.assign(true_class=other), CLASS_SHARES)


def _truth(page: Page) -> dict[str, Any] | None:
    """Return the scores of classes, the classes without a label, and the largest confusions."""
    if page.statistics.points is None:
        return None
    table = page.tables["classes"]
    table = table[table["true_class"] != ""].drop_duplicates("true_class")
    never = table.loc[(table["label"] == "") & (table["true_points_percent"] > 0), "true_class"]
    table = table[table["iou_percent"].notna() | table["pixel_iou_percent"].notna()]
    return {
        "num_compared": page.statistics.points.num_compared,
        "scores": _table(table.sort_values("iou_percent", ascending=False), CLASS_SCORES),
        "never_meant": list(never),
        "confusions": _confusions(page.confusions),
    }


def _confusions(confusions: Sequence[Confusion]) -> Markup | None:
    if not confusions:
        return None
    frame = pd.DataFrame([vars(confusion) for confusion in confusions])
    for name in ("share_of_errors", "share_of_label"):
        frame[name] *= 100
    return _table(frame, CONFUSIONS)


def _group(table: pd.DataFrame, by: str) -> dict[str, Markup | None]:
    """Return scores by camera or range, and with the truth a line per class."""
    groups = list(dict.fromkeys(table[by]))
    single = table[table["class"] != ALL]
    wide = None
    if len(single):
        scores = single.pivot(index="class", columns=by, values="iou_percent")
        scores = scores.reindex(columns=groups).reset_index()
        wide = _table(scores, {name: name for name in ("class", *groups)})
    return {"all": _table(table[table["class"] == ALL], {by: by, **GROUP_SCORES}), "classes": wide}


def _legend(statistics: LabelStatistics) -> dict[str, str]:
    names = dict.fromkeys(true_name(name) for name in statistics.label_names)
    names |= dict.fromkeys(true_name(name) for name in statistics.true_names)
    return {class_words(name): class_colour(name, index) for index, name in enumerate(names)}


def _origin(page: Page) -> Markup:
    facts = {
        "labeller": page.labeller.kind,
        "its identity": page.labeller.identity,
        "labels": page.labels_fingerprint,
        "data set": page.dataset.kind,
        "its fingerprint": page.dataset_fingerprint,
        **page.provenance,
    }
    frame = pd.DataFrame(list(facts.items()))
    return html.html_table(
        frame, ("what", "value"), text_columns=(0, 1), classes=frame.map(lambda _: "long")
    )


def _table(frame: pd.DataFrame, headers: Mapping[str, str]) -> Markup:
    """Return the columns of `headers`, without those that hold no value."""
    names = [name for name in headers if frame[name].notna().any()]
    shown = frame[names]
    words = [index for index, name in enumerate(names) if not _is_number(shown[name])]
    return html.html_table(shown, [headers[n] for n in names], text_columns=words, write=_text)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _text(value: object) -> str:
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ABSENT
        if 0 < value < 0.005:
            return "<0.01"
        return f"{value:.2f}" if 0 < value < 0.1 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else class_words(str(value))
