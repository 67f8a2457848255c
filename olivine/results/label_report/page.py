"""The page of a label report: one HTML file that needs nothing else, readable on a phone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from olivine.core.storage import Store
from olivine.data.dataset import Dataset
from olivine.labels.labeller import Labeller
from olivine.results.figures import class_colour
from olivine.results.label_report.tally import ALL, Confusion, LabelTally, true_name
from olivine.results.page_parts import (
    as_jpeg,
    html_image,
    html_page,
    html_table,
    percent,
    safe,
    words,
)

STYLE = Path(__file__).with_suffix(".css")


@dataclass(frozen=True)
class Page:
    """Everything that the page says."""

    labeller: Labeller
    dataset: Dataset
    dataset_fingerprint: str
    labels_fingerprint: str  # of the labelling run
    num_missing: int  # images without labels
    num_images: int  # of the data set
    num_frames: int  # of the data set
    tally: LabelTally
    tables: Mapping[str, pd.DataFrame]  # classes, cameras, ranges
    confusions: Sequence[Confusion]
    figures: Mapping[str, Path]  # histogram, ranges and, where the truth is known, iou
    pictures: Mapping[str, Mapping[str, Path]]  # frame -> camera -> file
    command: str
    provenance: Mapping[str, str]

    def warnings(self) -> list[str]:
        """Return what a reader must know before any number, the worst first."""
        kind, found = self.labeller.kind, []
        if self.labeller.reads_truth:
            found.append(
                f"These labels were made from the truth by {kind!r}: they are an upper bound, "
                "not weak labels, and no result with them is one without annotation."
            )
        if self.labeller.note:
            found.append(f"Of the labeller {kind!r}: {self.labeller.note}")
        if self.num_missing:
            found.append(
                f"{self.num_missing:,} of {self.num_images:,} images have no labels and are left "
                "out; `olivine label` makes what is missing."
            )
        if strangers := self.tally.strangers():
            found.append(
                f"No true class is meant by {', '.join(strangers)}: where the truth is asked, "
                "these labels count as none."
            )
        return found

    def sentences(self) -> list[str]:
        """Return the main facts, for a terminal."""
        tally, points = self.tally, self.tally.points
        lines = [
            f"{tally.num_frames:,} of {self.num_frames:,} frames ({tally.num_images:,} images) "
            f"were looked at: {percent(tally.pixel_coverage)} of the pixels and "
            f"{percent(tally.point_coverage)} of the points seen by a camera have a label."
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


def write_page(path: Path, page: Page) -> Path:
    """Write the page with its pictures inside."""
    Store(path.parent).write(path.name, render(page).encode())
    return path


def render(page: Page) -> str:
    """Return the page as HTML without script, style sheet or picture of its own elsewhere."""
    parts = [
        "<h1>Can the labels be trusted?</h1>",
        *_warnings(page),
        _keys(page),
        *_classes(page),
        *_truth(page),
        *_places(page),
        *_pictures(page),
        *_origin(page),
    ]
    return html_page(f"Label report: {page.labeller.kind}", STYLE, "\n".join(parts))


def _warnings(page: Page) -> list[str]:
    stop = ' stop" role="alert' if page.labeller.reads_truth else ""
    first, *rest = page.warnings() or [""]
    shown = [f'<p class="warn{stop}">{safe(first)}</p>'] if first else []
    return shown + [f'<p class="warn">{safe(text)}</p>' for text in rest]


def _keys(page: Page) -> str:
    tally, points, pixels = page.tally, page.tally.points, page.tally.pixels
    seen = tally.num_seen_points / max(1, tally.num_scan_points)
    facts = [
        ("frames looked at", f"{tally.num_frames:,} of {page.num_frames:,}"),
        ("images looked at", f"{tally.num_images:,}"),
        ("pixels with a label", percent(tally.pixel_coverage)),
        ("pixels ignored", percent(1 - tally.pixel_coverage)),
        ("points seen by a camera", percent(seen)),
        ("of these, with a label", percent(tally.point_coverage)),
    ]
    if points:
        facts += [("labelled points that are right", percent(points.accuracy))]
        facts += [("mIoU on points", percent(points.miou))]
    if pixels:
        facts += [("labelled pixels that are right", percent(pixels.accuracy))]
        facts += [("mIoU on pixels", percent(pixels.miou))]
    return (
        '<div class="keys">'
        + "".join(f"<div><b>{safe(value)}</b>{safe(name)}</div>" for name, value in facts)
        + "</div>"
    )


def _classes(page: Page) -> list[str]:
    table = page.tables["classes"]
    table = table[table["label"] != ""].sort_values("pixels_percent", ascending=False)
    other = table["true_class"].where(table["true_class"] != table["label"], "")
    table = table.assign(true_class=other)
    headers = {
        "label": "label",
        "true_class": "true class, if other",
        "pixels_percent": "labelled pixels (%)",
        "points_percent": "labelled points (%)",
        "true_points_percent": "points truly of it (%)",
        "num_pixels": "pixels",
        "num_points": "points",
    }
    return [
        "<h2>Which classes the labels hold</h2>",
        f"<p>Frames are evenly spaced over the data set; ignored pixels have no label "
        f"({percent(1 - page.tally.pixel_coverage)}) and take no part in these shares. A point "
        "seen by two cameras counts once for each, as in pretraining; as there, nothing tests "
        "whether something stands before it, so a right image can still give a point a wrong "
        "label.</p>",
        _beside(_figure(page, "histogram", "Share of each class"), html_table(table, headers)),
    ]


def _truth(page: Page) -> list[str]:
    heading = "<h2>Against the truth</h2>"
    if page.tally.points is None:
        text = "The data set has no true classes of points here, so nothing can be compared."
        return [heading, f"<p>{text}</p>"]
    table = page.tables["classes"]
    table = table[table["true_class"] != ""].drop_duplicates("true_class")
    never = table.loc[(table["label"] == "") & (table["true_points_percent"] > 0), "true_class"]
    table = table[table["iou_percent"].notna() | table["pixel_iou_percent"].notna()]
    headers = {
        "true_class": "class",
        "true_points_percent": "points truly of it (%)",
        "precision_percent": "precision (%)",
        "recall_percent": "recall (%)",
        "iou_percent": "IoU (%)",
        "pixel_precision_percent": "precision, pixels (%)",
        "pixel_recall_percent": "recall, pixels (%)",
        "pixel_iou_percent": "IoU, pixels (%)",
    }
    parts = [
        heading,
        f"<p>{page.tally.points.num_compared:,} points with a known class. Precision: share of "
        "the points with this label that are of the class. Recall: share of the class's points "
        "with this label; a point without a label is a miss. IoU counts both; mIoU is its mean "
        "over the classes that occur.</p>",
        _beside(
            _figure(page, "iou", "Scores of each class, on points"),
            html_table(table.sort_values("iou_percent", ascending=False), headers),
        ),
    ]
    if len(never):
        names = ", ".join(never)
        parts.append(f"<p>No label means {safe(names)}: the labeller has no word for it.</p>")
    confusions = pd.DataFrame([vars(confusion) for confusion in page.confusions])
    if len(confusions):
        for name in ("label", "errors"):
            confusions[f"{name}_percent"] = 100 * confusions.pop(f"share_of_{name}")
        headers = {
            "labelled": "labelled",
            "truly": "truly",
            "num_points": "points",
            "errors_percent": "of all wrong points (%)",
            "label_percent": "of the points with this label (%)",
        }
        parts += ["<h3>Largest confusions</h3>", html_table(confusions, headers)]
    return parts


def _places(page: Page) -> list[str]:
    headers = {
        "num_points": "points",
        "coverage_percent": "labelled (%)",
        "precision_percent": "of them right (%)",
        "iou_percent": "mIoU (%)",
    }
    parts = ["<h2>By range and by camera</h2>"]
    for by in ("range", "camera"):
        table = page.tables[f"{by}s"]
        whole = html_table(table[table["class"] == ALL], {by: by, **headers})
        if by == "range":
            text = "Range is the horizontal distance to the LiDAR"
            parts.append(_beside(_figure(page, "ranges", text), whole))
        else:
            parts.append(whole)
        if (table["class"] != ALL).any():
            parts += [f"<h3>IoU (%) of each class by {by}</h3>", _iou_by(table, by)]
    return parts


def _iou_by(table: pd.DataFrame, by: str) -> str:
    """Return a row per class and a column per camera or range."""
    groups = list(dict.fromkeys(table[by]))
    single = table[table["class"] != ALL]
    wide = single.pivot(index="class", columns=by, values="iou_percent")
    wide = wide.reindex(columns=groups).reset_index()
    return html_table(wide, {name: name for name in ("class", *groups)})


def _pictures(page: Page) -> list[str]:
    tally = page.tally
    names = dict.fromkeys(true_name(name) for name in (*tally.label_names, *tally.true_names))
    legend = "".join(
        f'<li><i style="background:{class_colour(name, place)}"></i>{safe(words(name))}</li>'
        for place, name in enumerate(names)
    )
    parts = ["<h2>Pictures</h2>", f'<ul class="legend">{legend}</ul>']
    for frame, cameras in page.pictures.items():
        shown = "".join(
            f"<figure>{html_image(as_jpeg(path), 'jpeg', f'{camera} of {frame}')}</figure>"
            for camera, path in cameras.items()
        )
        parts += [f"<h3>{safe(frame)}</h3>", f'<div class="cameras">{shown}</div>']
    return parts


def _origin(page: Page) -> list[str]:
    settings = json.dumps(page.labeller.to_dict(), indent=1)
    data = json.dumps(page.dataset.to_dict(), indent=1)
    facts = {
        "labeller": page.labeller.kind,
        "its identity": page.labeller.identity,
        "labels": page.labels_fingerprint,
        "data set": page.dataset.kind,
        "its fingerprint": page.dataset_fingerprint,
        **page.provenance,
    }
    rows = "".join(
        f'<tr><td>{safe(name)}</td><td class="text"><code>{safe(value)}</code></td></tr>'
        for name, value in facts.items()
    )
    return [
        "<h2>How this was made</h2>",
        f"<pre>{safe(page.command)}</pre>",
        f'<div class="wide"><table>{rows}</table></div>',
        f"<h3>Settings of the labeller</h3><pre>{safe(settings)}</pre>",
        f"<h3>Settings of the data set</h3><pre>{safe(data)}</pre>",
    ]


def _beside(figure: str, table: str) -> str:
    """Put a table at the side of its figure, below it where there is no room."""
    return f'<div class="side">{figure}{table}</div>'


def _figure(page: Page, name: str, text: str) -> str:
    data = page.figures[name].read_bytes()
    return f"<figure>{html_image(data, 'png', text)}<figcaption>{text}</figcaption></figure>"
