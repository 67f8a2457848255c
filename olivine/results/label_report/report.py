"""The label report: numbers, pictures and one page about the quality of existing labels.

It reads label maps and never makes them. The truth, if a data set has it, is read only here and in
`olivine.labels.quality`, to measure the labels' errors.
"""

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import Field

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError, nearest
from olivine.core.progress import Progress, Report
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.labels.config import LabelConfig
from olivine.labels.labeller import Labeller
from olivine.labels.opened_job import LabelJob, open_job, run_fingerprint
from olivine.labels.quality import evenly, pixel_truth, read_maps
from olivine.results.label_report.page import Page, write_label_page
from olivine.results.label_report.pictures import draw_frames
from olivine.results.label_report.quality_figures import write_figures
from olivine.results.label_report.statistics import (
    ALL,
    LabelStatistics,
    class_table,
    group_table,
    largest_confusions,
)
from olivine.tracking.provenance import provenance
from olivine.tracking.tracker import RunKey, Tracker

STAGE = "label_report"
VERSION = 1  # increased when equal labels give other numbers
PICTURES = "frames"  # folder of the run's artifacts
NUM_PICTURES = 3  # number of frames to draw if none are named


class ReportConfig(Spec):
    """The labels to evaluate, the number of frames, and the frames to draw."""

    labels: LabelConfig
    max_frames: int = Field(default=40, ge=0)  # evenly spaced over those with labels; 0: all
    frames: tuple[str, ...] = ()  # tokens of frames to draw; empty: a few, evenly spaced


@dataclass(frozen=True)
class ReportResult:
    """The files and facts of a report."""

    key: RunKey
    files: tuple[Path, ...]  # the page first
    lines: tuple[str, ...]  # one sentence per fact
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class _ChosenFrames:
    """The frames of a report."""

    counted: tuple[int, ...]  # frames that are counted
    drawn: tuple[int, ...]
    have: frozenset[str]  # images with a map
    num_missing: int  # images without one
    num_frames: int  # of the data set

    def fingerprint(self, job: LabelJob, labels: str) -> str:
        """Return 12 hex digits of the labels and of the chosen frames."""
        tokens = job.frames.tokens()
        looked_at = [[tokens[i] for i in chosen] for chosen in (self.counted, self.drawn)]
        missing = sorted(set(job.image_names) - self.have)
        text = json.dumps([VERSION, labels, looked_at, missing])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def label_report(
    config: ReportConfig,
    runtime: Runtime,
    tracker: Tracker,
    *,
    folder: Path | None = None,
    command: str = "",
    report: Report | None = None,
) -> ReportResult:
    """Write page, tables and pictures to a folder and store them with a run.

    Reports on equal data, labellers and frames are one run. Raises UserError if there are no
    labels, for an unknown frame and a folder that cannot be written.
    """
    labeller = config.labels.labeller
    _require_classes(labeller)
    job = open_job(config.labels, runtime)
    chosen = _choose(job, config)
    folder = folder or _default_folder(job, runtime)
    _require_writable(folder)
    labels = run_fingerprint(config.labels, job)
    key = RunKey(STAGE, chosen.fingerprint(job, labels))
    statistics = _count(job, chosen, report or Progress("label report", "frames"))
    tables = _tables(statistics)
    files = [_write_table(folder / f"{name}.csv", table) for name, table in tables.items()]
    drawn = draw_frames(job, chosen.drawn, chosen.have, folder)
    figures = write_figures(statistics, tables, folder)
    page = Page(
        labeller=labeller,
        dataset=config.labels.dataset,
        dataset_fingerprint=job.frames.fingerprint,
        labels_fingerprint=labels,
        num_missing=chosen.num_missing,
        num_images=len(job.image_names),
        num_frames=chosen.num_frames,
        statistics=statistics,
        tables=tables,
        confusions=largest_confusions(statistics),
        figures={name: png for name, (png, _) in figures.items()},
        pictures=drawn,
        command=command,
        provenance=provenance(),
    )
    files = [write_label_page(folder / "index.html", page), *files]
    files += [path for both in figures.values() for path in both]
    files += [path for cameras in drawn.values() for path in cameras.values()]
    result = ReportResult(key, tuple(files), tuple(page.sentences()), _metrics(statistics, tables))
    if not tracker.finished(key):
        tags = {"dataset": job.frames.fingerprint, "labels": labeller.identity, "label_run": labels}
        _record(config, tracker, result, tags)
    return result


def _require_classes(labeller: Labeller) -> None:
    if labeller.makes == "segments":
        raise UserError(
            f"The labeller {labeller.kind!r} writes segments without a class, so there is nothing "
            "to compare; name one that writes classes by --set pretrained.labels.kind=KIND."
        )


def _choose(job: LabelJob, config: ReportConfig) -> _ChosenFrames:
    """Choose frames at equal distances among those that have a label map."""
    _ = job.store.class_names  # raises if nothing was ever labelled
    have = frozenset(job.image_names) - set(job.left)
    if not have:
        raise UserError(
            f"None of the {len(job.image_names)} images has labels in {job.store.path}; run "
            "`olivine label` with the same settings first."
        )
    cameras = len(job.frames.camera_names)
    images = [i for i, name in enumerate(job.image_names) if name in have]
    labelled = sorted({image // cameras for image in images})
    counted = evenly(labelled, config.max_frames or len(labelled))
    drawn = _named(job, config.frames, labelled) or evenly(labelled, NUM_PICTURES)
    return _ChosenFrames(tuple(counted), tuple(drawn), have, len(job.left), len(job.frames))


def _named(job: LabelJob, wanted: Sequence[str], labelled: Sequence[int]) -> list[int]:
    """Return the frames of these tokens, which must be there and have labels."""
    if not wanted:
        return []
    tokens = job.frames.tokens()
    position = {token: index for index, token in enumerate(tokens)}
    for token in wanted:
        if token not in position:
            raise UserError(
                f"No frame {token!r} in the {len(tokens)} of the data set, whose first is "
                f"{tokens[0]!r}.{nearest(token, tokens)}"
            )
        if position[token] not in set(labelled):
            raise UserError(
                f"Frame {token!r} has no labels in {job.store.path}; run `olivine label` with "
                "the same settings, it makes only what is missing."
            )
    return [position[token] for token in dict.fromkeys(wanted)]


def _count(job: LabelJob, chosen: _ChosenFrames, report: Report) -> LabelStatistics:
    frames = job.frames
    statistics = LabelStatistics(frames.camera_names, job.store.class_names, frames.class_names)
    read_truth = pixel_truth(frames)
    for done, index in enumerate(chosen.counted, 1):
        frame = frames.frame(index, images=False)
        statistics.add(frame, read_maps(frame, job.store, chosen.have), read_truth)
        report(done, len(chosen.counted))
    return statistics


def _tables(statistics: LabelStatistics) -> dict[str, pd.DataFrame]:
    return {
        "classes": class_table(statistics),
        "cameras": group_table(statistics, "camera"),
        "ranges": group_table(statistics, "range"),
    }


def _write_table(path: Path, table: pd.DataFrame) -> Path:
    Store(path.parent).write(path.name, table.to_csv(index=False, float_format="%.4f").encode())
    return path


def _default_folder(job: LabelJob, runtime: Runtime) -> Path:
    """Return a folder of these labels alone; a report stays on this machine."""
    if is_bucket(runtime.out):
        raise UserError(
            f"runtime.out={runtime.out} is no folder of this machine, and a report needs one: "
            "name it by --folder."
        )
    return runtime.out_path("label_report", job.store.path.rsplit("/", maxsplit=1)[-1])


def _require_writable(folder: Path) -> None:
    """Raise UserError before the work if the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"Cannot write to the folder {folder}: {error.strerror}; name another by --folder."
        ) from None


def _metrics(statistics: LabelStatistics, tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Return metrics for the run's record, without undefined ones."""
    metrics = {
        "num_frames": float(statistics.num_frames),
        "num_images": float(statistics.num_images),
        "pixel_coverage_percent": 100 * statistics.pixel_coverage,
        "point_coverage_percent": 100 * statistics.point_coverage,
    }
    for what, agreement in (("pixel", statistics.pixels), ("point", statistics.points)):
        if agreement:
            metrics[f"{what}_accuracy_percent"] = 100 * agreement.accuracy
            metrics[f"{what}_miou_percent"] = 100 * agreement.miou
    classes = tables["classes"]
    for name, *shares in classes[["label", "pixels_percent", "points_percent"]].itertuples(
        index=False
    ):
        if name:
            metrics[f"pixels_percent/{name}"], metrics[f"points_percent/{name}"] = shares
    scores = classes.drop_duplicates("true_class").set_index("true_class")
    for what in ("precision", "recall", "iou"):
        column = scores[f"{what}_percent"]
        metrics |= {f"point_{what}_percent/{name}": value for name, value in column.items() if name}
    for by in ("camera", "range"):
        lines = tables[f"{by}s"]
        for line in lines[lines["class"] == ALL].to_dict("records"):
            name = str(line[by]).replace("–", "-")
            metrics[f"{by}_coverage_percent/{name}"] = line["coverage_percent"]
            metrics[f"{by}_miou_percent/{name}"] = line["iou_percent"]
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _record(
    config: ReportConfig, tracker: Tracker, result: ReportResult, tags: Mapping[str, str]
) -> None:
    """Store numbers and files with the run."""
    name = f"label report {config.labels.labeller.kind}"
    with tracker.run(result.key, name, config, tags) as run:
        run.log_metrics(result.metrics, 0)
        for path in result.files:
            run.log_file(path, PICTURES if path.name.startswith("frame-") else "")
