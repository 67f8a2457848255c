"""The quality of labels: coverage, class shares, and agreement with the truth where it is known.

Truth is never an input of labelling. It is read afterwards, from a synthetic world's class images
and from lidarseg, only to measure how wrong the labels are.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Int, UInt8

from olivine.core.storage import Store
from olivine.data.dataset import Frames
from olivine.data.geometry.projection import correspondences
from olivine.data.records import IGNORE, Frame
from olivine.labels.store import LabelStore

ItemT = TypeVar("ItemT")

MAX_IMAGES = 300  # in the sample, evenly spaced over the data set
MAX_FRAMES = 20  # whose points are in the sample; a scan has 35,000
TRUTH_FOLDER = "truth"  # a synthetic world's class images, below its root

# The evaluation's class for prompts of another name (method.md §2.1).
TRUE_NAME = {
    "road": "driveable_surface",
    "building": "manmade",
    "other_ground": "other_flat",
    "other ground": "other_flat",
    "traffic cone": "traffic_cone",
    "construction vehicle": "construction_vehicle",
}


LabelMaps = Mapping[int, UInt8[np.ndarray, "_ _"]]  # by camera


@dataclass(frozen=True)
class CameraPoints:
    """The points that one camera sees, with their weak labels."""

    point_index: Int[np.ndarray, " M"]  # row of the scan
    row: Int[np.ndarray, " M"]
    column: Int[np.ndarray, " M"]
    label: UInt8[np.ndarray, " M"]  # at the nearest pixel


@dataclass(frozen=True)
class Agreement:
    """Labels compared with the truth, wherever the true class is known."""

    num_compared: int  # pixels or points with a true class
    coverage: float  # share of those that have a label
    accuracy: float  # share of the labelled ones whose label is right
    miou: float  # mean over the classes that occur; an unlabelled one is a miss
    iou: Mapping[str, float]  # of every class that occurs in labels or truth
    precision: Mapping[str, float]  # of every class that has a label
    recall: Mapping[str, float]  # of every class that occurs in the truth


@dataclass(frozen=True)
class LabelQuality:
    """Statistics of a sample of the maps."""

    num_images: int  # in the sample
    class_share: Mapping[str, float]  # of the labelled pixels
    coverage: float  # share of all pixels that have a label
    pixels: Agreement | None  # where pixel truth is known
    points: Agreement | None  # where the points' classes are known
    segments_per_image: float | None = None  # of labels that are segments without a name

    def metrics(self) -> dict[str, float]:
        """Return metrics for the run's record."""
        values = {"coverage": self.coverage}
        values |= {f"share/{name}": share for name, share in self.class_share.items()}
        if self.segments_per_image is not None:
            values["segments_per_image"] = self.segments_per_image
        for name, agreement in (("pixel", self.pixels), ("point", self.points)):
            if agreement:
                values[f"{name}_accuracy"] = agreement.accuracy
                values[f"{name}_miou"] = agreement.miou
                values[f"{name}_coverage"] = agreement.coverage
                values |= {f"{name}_iou/{c}": iou for c, iou in agreement.iou.items()}
        return values

    def lines(self) -> list[str]:
        """Return one sentence per fact."""
        lines = [f"{self.coverage:.1%} of the pixels of {self.num_images} images have a label."]
        if self.segments_per_image is not None:
            lines.append(f"An image has {self.segments_per_image:.1f} segments.")
        for what, agreement in (("pixels", self.pixels), ("points", self.points)):
            if agreement:
                lines.append(
                    f"Against the truth of {agreement.num_compared} {what}: "
                    f"{agreement.accuracy:.1%} of the labels are right, mIoU {agreement.miou:.1%}, "
                    f"coverage {agreement.coverage:.1%}."
                )
        return lines


def survey(frames: Frames, store: LabelStore, names: Sequence[str]) -> LabelQuality:
    """Return the quality of up to MAX_IMAGES maps of `names`, all of which must be there.

    The sample depends on the names alone, so two runs over the same labels report the same.
    """
    if store.makes == "segments":
        return _survey_segments(store, evenly(names, MAX_IMAGES))
    class_names = store.class_names
    true_id = true_ids(class_names, frames.class_names)
    read_truth = pixel_truth(frames)
    num_classes = len(frames.class_names)
    counts = np.zeros(IGNORE + 1, dtype=np.int64)
    confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    chosen = evenly(names, MAX_IMAGES)
    for name in chosen:
        ids = store.read(name)
        counts += np.bincount(ids.ravel(), minlength=IGNORE + 1)
        if read_truth:
            confusion += confusion_of(read_truth(name), true_id[ids], num_classes)
    labelled = counts[:IGNORE]
    shares = labelled / max(1, labelled.sum())
    return LabelQuality(
        num_images=len(chosen),
        class_share={c: float(shares[i]) for i, c in enumerate(store.class_names)}
        if chosen
        else {},
        coverage=float(labelled.sum() / max(1, counts.sum())),
        pixels=agreement_of(confusion, frames.class_names),
        points=agreement_of(_point_confusion(frames, store, set(names)), frames.class_names),
    )


def _survey_segments(store: LabelStore, chosen: Sequence[str]) -> LabelQuality:
    num_segments, num_covered, num_pixels = 0, 0, 0
    for name in chosen:
        counts = np.bincount(store.read(name).ravel(), minlength=IGNORE + 1)
        num_segments += int(np.count_nonzero(counts[:IGNORE]))
        num_covered += int(counts[:IGNORE].sum())
        num_pixels += int(counts.sum())
    return LabelQuality(
        num_images=len(chosen),
        class_share={},
        coverage=num_covered / max(1, num_pixels),
        pixels=None,
        points=None,
        segments_per_image=num_segments / max(1, len(chosen)),
    )


def true_ids(label_names: Sequence[str], true_names: Sequence[str]) -> UInt8[np.ndarray, "256"]:
    """Return the true class id of each label id, or IGNORE where there is none."""
    ids = {name: index for index, name in enumerate(true_names)}
    lookup = np.full(IGNORE + 1, IGNORE, dtype=np.uint8)
    for index, name in enumerate(label_names):
        lookup[index] = ids.get(TRUE_NAME.get(name, name), ids.get(name, IGNORE))
    return lookup


def confusion_of(
    truth: UInt8[np.ndarray, "*shape"], labels: UInt8[np.ndarray, "*shape"], num_classes: int
) -> Int[np.ndarray, "classes classes_and_none"]:
    """Count labels by true class; the last column is no label, and unknown truth is left out."""
    known = truth < num_classes
    given = np.minimum(labels[known], num_classes).astype(np.int64)
    flat = truth[known].astype(np.int64) * (num_classes + 1) + given
    counts = np.bincount(flat, minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1)


def agreement_of(
    confusion: Int[np.ndarray, "classes classes_and_none"], class_names: Sequence[str]
) -> Agreement | None:
    """Return the scores of a confusion matrix, or None if it is empty."""
    num_compared = int(confusion.sum())
    if not num_compared:
        return None
    right = np.diagonal(confusion)
    true, labelled = confusion.sum(axis=1), confusion[:, :-1].sum(axis=0)
    given = labelled.sum()

    def shares(of: np.ndarray) -> dict[str, float]:
        return {name: float(right[i] / of[i]) for i, name in enumerate(class_names) if of[i]}

    iou = shares(true + labelled - right)
    return Agreement(
        num_compared=num_compared,
        coverage=float(given / num_compared),
        accuracy=float(right.sum() / max(1, given)),
        miou=float(np.mean(list(iou.values()))),
        iou=iou,
        precision=shares(labelled),
        recall=shares(true),
    )


def points_by_camera(frame: Frame, maps: LabelMaps) -> dict[int, CameraPoints]:
    """Return the points that each camera with a map sees; occlusion is not tested."""
    pairs = correspondences(
        frame.xyz_m, frame.cam_SE3_lidar, frame.intrinsics_px, frame.image_size_px
    )
    found = {}
    for camera, ids in maps.items():
        mine = pairs.pixel_index[:, 0] == camera
        _, row, column = pairs.pixel_index[mine].T
        found[camera] = CameraPoints(pairs.point_index[mine], row, column, ids[row, column])
    return found


def read_maps(frame: Frame, store: LabelStore, have: Container[str]) -> LabelMaps:
    """Return the maps of a frame's cameras whose image is among `have`, checked for their size."""
    return {
        camera: store.read(name, (int(size[0]), int(size[1])))
        for camera, (name, size) in enumerate(
            zip(frame.image_names, frame.image_size_px, strict=True)
        )
        if name in have
    }


def evenly(items: Sequence[ItemT], num_wanted: int) -> list[ItemT]:
    """Return up to `num_wanted` items at equal distances, in order."""
    if len(items) <= num_wanted:
        return list(items)
    return [items[index * len(items) // num_wanted] for index in range(num_wanted)]


def _point_confusion(
    frames: Frames, store: LabelStore, have: set[str]
) -> Int[np.ndarray, "classes classes_and_none"]:
    num_classes = len(frames.class_names)
    true_id = true_ids(store.class_names, frames.class_names)
    confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    step = max(1, -(-len(frames) // MAX_FRAMES))
    for index in range(0, len(frames) if have else 0, step):
        frame = frames.frame(index, images=False)
        if frame.class_ids is None:
            return confusion
        if not have.issuperset(frame.image_names):
            continue
        for points in points_by_camera(frame, read_maps(frame, store, have)).values():
            truth = frame.class_ids[points.point_index]
            confusion += confusion_of(truth, true_id[points.label], num_classes)
    return confusion


def pixel_truth(frames: Frames) -> Callable[[str], np.ndarray] | None:
    """Return a reader of true class ids, if the data set is a synthetic world that has them."""
    if TRUTH_FOLDER not in Store(frames.root).folders():
        return None
    from olivine.data.datasets.synthetic.export.writing import read_truth

    return lambda name: read_truth(frames.root, name)
