"""The labelling stage: weak labels for every image of a data set, each made once.

The functions here do not depend on where they run. `label` combines them in one process,
`olivine.runners.on_ray.label` on a cluster; both write the same bytes.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from olivine.core.errors import UserError
from olivine.core.progress import Progress, Report, Silence
from olivine.core.runtime import Runtime
from olivine.data.identity.split import identity_of
from olivine.labels.batches import BatchLabeller, batch_cap
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.cost import JobCost
from olivine.labels.current import adopt_labels, parts_read
from olivine.labels.image_files import read_image, write_image
from olivine.labels.opened_job import LabelJob, job_of, open_images, run_fingerprint
from olivine.labels.quality import LabelQuality, survey
from olivine.labels.records import ImageResult
from olivine.labels.store import LabelStore, label_map_name
from olivine.tracking.reused import Reused
from olivine.tracking.tracker import FINGERPRINT, Run, RunKey, RunRecord, Tracker

LOG_PERIOD_S = 60.0  # between two logs of rate and cost
SILENT = (
    "label: no image has finished for a while. Do the actors get their CPUs and GPUs (`ray "
    "status`)? A labeller that hangs can be stopped: the same command goes on from here."
)


@dataclass(frozen=True)
class LabelResult:
    """The result of the stage."""

    path: str  # of the maps
    fingerprint: str  # of the run
    num_images: int  # of the data set
    num_done_before: int
    num_labelled: int  # by this run
    failed: Mapping[str, str]  # image -> reason, of this run
    failure_path: str  # of the records of all failures
    num_failed_before: int  # left out, because they failed before
    num_postponed: int  # left out for another reason: a limit, or failures were retried
    num_outdated: int  # images whose map was of another image when the job began
    class_pixels: Mapping[str, int]  # of the images labelled by this run; "" is no class
    quality: LabelQuality  # of a sample of all stored maps
    reads_truth: bool = False
    reused: tuple[Reused, ...] = field(default=(), compare=False)  # the earlier run that made maps

    @property
    def num_failed(self) -> int:
        """The number of images without a map; the exit status says whether there are any."""
        return len(self.failed) + self.num_failed_before

    def __str__(self) -> str:
        parts = [
            f"{self.num_done_before + self.num_labelled} of {self.num_images} images have labels "
            f"in {self.path}: {self.num_done_before} had them before, {self.num_labelled} are new"
        ]
        if self.failed:
            name, reason = next(iter(self.failed.items()))
            parts.append(
                f"{len(self.failed)} failed, the first is {name}: {reason.rstrip('.')} (all are "
                f"recorded in {self.failure_path})"
            )
        if self.num_outdated:
            parts.append(f"the maps of {self.num_outdated} were of images that have changed since")
        if self.num_failed_before:
            parts.append(
                f"{self.num_failed_before} failed before and were left out, --retry-failed takes "
                "them again"
            )
        if self.num_postponed:
            parts.append(f"{self.num_postponed} are left for another time")
        truth = ["These labels were read from the truth: for an upper bound only."]
        return "\n".join(
            ["; ".join(parts) + ".", *(truth if self.reads_truth else []), *self.quality.lines()]
        )


LabelImages = Callable[[LabelJob], Iterator[ImageResult]]  # labels `job.left`, in any order


def label(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    report: Report | None = None,
    *,
    device: torch.device | None = None,
    selection: Selection = EVERY_NEW_IMAGE,
) -> LabelResult:
    """Label the remaining images in this process, on a device (None: the CPU).

    Failures are recorded and do not stop it. Raises UserError for a data set that cannot be opened,
    a labeller that cannot be loaded, a folder that cannot be written, and if more images fail than
    `runtime.max_failed_share`.
    """

    def label_images(job: LabelJob) -> Iterator[ImageResult]:
        size = runtime.label_batch_size
        labeller = BatchLabeller(job.labeller, device or torch.device("cpu"), job.frames, size)
        for start in range(0, len(job.left), batch_cap(runtime)):
            names = job.left[start : start + batch_cap(runtime)]
            for image in labeller([read_image(job.frames, name) for name in names]):
                yield write_image(job.store, image, labeller.usage, job.retries)

    return run_label_job(config, runtime, tracker, label_images, report, selection=selection)


def run_label_job(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    label_images: LabelImages,
    report: Report | None = None,
    *,
    selection: Selection = EVERY_NEW_IMAGE,
) -> LabelResult:
    """Open a job, label the remaining images by `label_images`, and record the job as a run.

    A run that leaves images without labels ends as FAILED, and the next start opens it again. A
    finished job opens no run.
    """
    frames = open_images(config, runtime)
    store = LabelStore.of(runtime.out, frames, config.labeller)
    if selection.force:
        store.clear()
    elif selection.adopt:
        adopt_labels(store, frames, config, runtime)
    job = job_of(config, frames, runtime, may_begin=selection.force)
    job = job.choose(selection)
    job.store.begin(job.labeller)
    job.store.images.add(job.records)  # those of a job that was killed are in its maps alone
    key = RunKey("label", run_fingerprint(config, job))
    earlier = tracker.records(key.stage, {FINGERPRINT: key.fingerprint})
    reused = _reused(job, earlier)
    cost = JobCost(
        len(job.labeller.class_names),
        max_failed_share=1.0 if job.retries else runtime.max_failed_share,
        usd_per_gpu_hour=runtime.usd_per_gpu_hour,
        gpu_hours_before=_gpu_hours_before(earlier),
    )
    if not job.left and tracker.finished(key):
        return replace(_result(job, key, cost), reused=reused)
    identity, parts = identity_of(job.frames), parts_read(job.labeller)
    tags = {"dataset": identity.of(*parts), "labels": job.labeller.identity}
    tags |= {f"data.label.{part}": value for part, value in identity.values(*parts).items()}
    if job.labeller.depends_on_truth:
        tags["labels.truth"] = "true"
    result = None
    with (
        contextlib.suppress(_IncompleteError),
        tracker.run(key, f"label {job.labeller.kind}", config, tags) as run,
    ):
        if job.left:
            report = report or Progress("label", "images", cost.spent)
            _consume(job, label_images(job), cost, run, report)
        result = _result(job, key, cost)
        run.log_metrics({**_metrics(result), **cost.metrics()}, _step(job, cost))
        run.set_tags({"path": result.path})
        if result.num_failed or result.num_postponed:
            raise _IncompleteError(str(result).splitlines()[0])
    assert result is not None
    return replace(result, reused=reused)


class _IncompleteError(Exception):
    """Ends a run as FAILED although its job reached its end."""


def _consume(
    job: LabelJob, results: Iterator[ImageResult], cost: JobCost, run: Run, report: Report
) -> None:
    logged_s, records = time.monotonic(), dict[str, str]()
    with _listed_images(job, records), _closing(results), Silence(SILENT) as silence:
        for result in results:
            cost.add(result)
            if result.status == "done":
                records[label_map_name(result.image_name)] = result.made_of
            silence.reset()
            report(cost.num_tried, len(job.left))
            if time.monotonic() - logged_s > LOG_PERIOD_S:
                logged_s = time.monotonic()
                run.log_metrics(cost.metrics(), _step(job, cost))
    assert cost.num_tried == len(job.left), "images were lost on the way"


@contextlib.contextmanager
def _listed_images(job: LabelJob, records: dict[str, str]) -> Iterator[None]:
    """Add the records of the block to the store's list, however it ends; the maps have them too."""
    try:
        yield
    finally:
        if records:
            with contextlib.suppress(UserError):  # a full disk, say, which ended the block
                job.store.images.add(records)


@contextlib.contextmanager
def _closing(results: Iterator[ImageResult]) -> Iterator[None]:
    """Close the iterator at once when its results are no longer needed."""
    try:
        yield
    finally:
        if close := getattr(results, "close", None):
            close()


def _step(job: LabelJob, cost: JobCost) -> int:
    """Return the step of a metric: the number of images that are done, over all starts of a job."""
    return job.num_finished + cost.num_tried


def _gpu_hours_before(earlier: Sequence[RunRecord]) -> float:
    """Return the GPU-hours of earlier starts of an unfinished run."""
    for record in earlier:
        if record.status != "FINISHED":
            return record.metrics.get("gpu_hours", 0.0)
    return 0.0


def _reused(job: LabelJob, earlier: Sequence[RunRecord]) -> tuple[Reused, ...]:
    """Return the newest run that may have made the maps that were there already."""
    if not job.num_finished:
        return ()
    return tuple(Reused(f"{job.num_finished} maps", record) for record in earlier[:1])


def _result(job: LabelJob, key: RunKey, cost: JobCost) -> LabelResult:
    counts = cost.class_pixels.tolist()
    unlabelled = {*job.left_out, *cost.failed}
    return LabelResult(
        path=job.store.path,
        fingerprint=key.fingerprint,
        num_images=len(job.image_names),
        num_done_before=job.num_finished,
        num_labelled=cost.num_done,
        failed=dict(sorted(cost.failed.items())),
        failure_path=job.store.failure_path(),
        num_failed_before=job.num_failed_left_out,
        num_postponed=len(job.left_out) - job.num_failed_left_out,
        num_outdated=len(job.outdated),
        class_pixels=dict(zip((*job.labeller.class_names, ""), counts, strict=True)),
        quality=survey(job.frames, job.store, [n for n in job.image_names if n not in unlabelled]),
        reads_truth=job.labeller.depends_on_truth,
    )


def _metrics(result: LabelResult) -> dict[str, float]:
    metrics = {
        "num_images": float(result.num_images),
        "num_done_before": float(result.num_done_before),
        "num_labelled": float(result.num_labelled),
        "num_failed": float(result.num_failed),
        "num_postponed": float(result.num_postponed),
    }
    return {**metrics, **result.quality.metrics()}
