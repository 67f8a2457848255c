"""The plan of a labelling job: its work, the bytes that it reads and writes, its time and cost."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olivine.core.progress import cost_text, span
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.labels.batches import batch_cap, block_sizes
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.opened_job import open_job
from olivine.labels.store import LabelStore
from olivine.tracking.tracker import Tracker

NUM_WEIGHED = 200  # images whose size on disk is read
NUM_MAPS_WEIGHED = 20


@dataclass(frozen=True)
class Measured:
    """What an earlier job with the same labeller measured."""

    run: str  # its fingerprint
    actor_s_per_image: float
    gpus_per_actor: float  # 0: it ran on CPUs


@dataclass(frozen=True)
class LabelJobPlan:
    """The state of a labelling job, and the cost of the rest."""

    path: str  # of the maps
    num_images: int  # of the data set
    num_finished: int
    num_failed_before: int
    num_left: int  # to be labelled by this job
    num_outdated: int  # images with a map of another image, which is made again
    retries: bool  # they are the failed ones
    blocks: Sequence[int]  # images in each
    mean_image_bytes: float | None  # None: no image could be read
    mean_map_bytes: float | None  # None: no map is there yet
    measured: Measured | None
    runtime: Runtime

    def lines(self, measure: str) -> list[str]:
        """Return the plan as sentences; `measure` is the command that would measure the time."""
        if not self.num_left:
            return [self._images()]
        return [self._images(), self._work(), self._bytes(), self._time(measure)]

    def _images(self) -> str:
        text = f"Images  {self.num_images}: {self.num_finished} have labels in {self.path}"
        if self.num_failed_before:
            which = "taken again" if self.retries else "left out; --retry-failed takes them"
            text += f", {self.num_failed_before} failed before ({which})"
        if self.num_outdated:
            text += f", {self.num_outdated} have one of an image that has changed since"
        return f"{text}; {self.num_left} to label."

    def _work(self) -> str:
        batch, most = batch_cap(self.runtime), max(self.blocks, default=0)
        return (
            f"Work    {len(self.blocks)} blocks of up to {most} images, batches of up to {batch}, "
            f"{self.runtime.min_label_actors} to {self.runtime.num_label_actors} actors."
        )

    def _bytes(self) -> str:
        read = _total(self.mean_image_bytes, self.num_left, "unknown: no image could be looked at")
        written = _total(self.mean_map_bytes, self.num_left, "unknown before the first map")
        return f"Bytes   in {read}; out {written}."

    def _time(self, measure: str) -> str:
        if self.measured is None:
            return f"Time    unknown: this labeller was not measured yet; `{measure}` does."
        each_s = self.measured.actor_s_per_image
        total_s = each_s * self.num_left
        wall = f"{span(total_s / self.runtime.num_label_actors)} with all actors busy"
        source = f"{each_s:.3g} s per image in run {self.measured.run}"
        if not self.measured.gpus_per_actor:
            text = f"Time    {wall} on CPUs ({source}); GPU-hours unknown"
            return f"{text}: on a GPU, `{measure}` measures them."
        gpu_hours = total_s * self.measured.gpus_per_actor / 3600
        return f"Time    {cost_text(gpu_hours, self.runtime.usd_per_gpu_hour)}, {wall} ({source})."


def plan_label_job(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    selection: Selection = EVERY_NEW_IMAGE,
) -> LabelJobPlan:
    """Return the plan of a job; nothing is labelled and nothing is written."""
    opened = open_job(config, runtime)
    job, missing = opened.choose(selection), set(opened.left)
    return LabelJobPlan(
        path=job.store.path,
        num_images=len(job.image_names),
        num_finished=job.num_finished,
        num_failed_before=len(job.failed_before),
        num_left=len(job.left),
        num_outdated=len(job.outdated),
        retries=job.retries,
        blocks=block_sizes(len(job.left), batch_cap(runtime), runtime.num_label_actors),
        mean_image_bytes=mean_image_bytes(job.frames, job.left),
        mean_map_bytes=mean_map_bytes(
            job.store, [name for name in job.image_names if name not in missing]
        ),
        measured=measured_before(tracker, job.labeller.identity),
        runtime=runtime,
    )


def measured_before(tracker: Tracker, identity: str) -> Measured | None:
    """Return what the newest job with this labeller measured, on GPUs if there is one."""
    found = [
        Measured(
            record.key.fingerprint,
            record.metrics["actor_s_per_image"],
            record.metrics["gpus_per_actor"],
        )
        for record in tracker.records("label", {"labels": identity})
        if "actor_s_per_image" in record.metrics
    ]
    return next((one for one in found if one.gpus_per_actor), next(iter(found), None))


def mean_image_bytes(frames: Frames, names: Sequence[str]) -> float | None:
    """Return the mean size on disk of some images; missing ones are left out."""
    sizes = []
    for name in _some(names, NUM_WEIGHED):
        try:
            sizes.append(os.stat(Path(frames.root) / name).st_size)
        except OSError:
            continue
    return sum(sizes) / len(sizes) if sizes else None


def mean_map_bytes(store: LabelStore, names: Sequence[str]) -> float | None:
    """Return the mean size of some stored maps."""
    sizes = [store.num_bytes(name) for name in _some(names, NUM_MAPS_WEIGHED)]
    return sum(sizes) / len(sizes) if sizes else None


def _some(names: Sequence[str], num_wanted: int) -> Sequence[str]:
    return names[:: max(1, len(names) // num_wanted)][:num_wanted]


def _total(mean: float | None, num_files: int, unknown: str) -> str:
    if mean is None:
        return unknown
    size = mean * num_files
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
