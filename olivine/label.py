"""The labelling stage: weak labels for every image of a data set, each made once.

The pieces here know nothing of where they run. `label` puts them together in one process,
`ray_jobs.label` spreads the same pieces over a cluster; both write the same bytes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from olivine.config import LabelConfig, Runtime
from olivine.errors import UserError
from olivine.label_quality import LabelQuality, survey
from olivine.label_store import LabelStore, label_name
from olivine.network_parts import ImageLabeller, Labeller
from olivine.parts import Frames
from olivine.progress import Progress, Report
from olivine.tracking import RunKey, Tracker
from olivine.types import IGNORE
from olivine.worker import Worker


@dataclass(frozen=True)
class LabelJob:
    """What is to be labelled, by whom and where to."""

    frames: Frames
    labeller: Labeller
    store: LabelStore
    image_names: tuple[str, ...]  # all of the data set
    left: tuple[str, ...]  # without a map yet, sorted; neighbours in time are neighbours here


@dataclass(frozen=True)
class Outcome:
    """What became of one image; small enough for the driver to hold one at a time."""

    image_name: str
    status: Literal["done", "failed", "unwritten"]
    reason: str = ""  # of a failure; an unwritten map (a full disk) stops the job
    class_pixels: tuple[int, ...] = ()  # pixels of every class, then of none


@dataclass(frozen=True)
class LabelResult:
    """What the stage leaves."""

    path: str  # of the maps
    fingerprint: str  # of the run
    num_images: int  # of the data set
    num_done_before: int
    num_labelled: int  # by this run
    failed: Mapping[str, str]  # image -> reason
    class_pixels: Mapping[str, int]  # of the images labelled by this run; "" is no class
    quality: LabelQuality  # of a sample of all maps that are there

    @property
    def num_failed(self) -> int:
        """Images without a map; the command's exit status says whether there are any."""
        return len(self.failed)

    def __str__(self) -> str:
        text = (
            f"{self.num_done_before + self.num_labelled} of {self.num_images} images have labels "
            f"in {self.path}: {self.num_done_before} had them before, {self.num_labelled} are new"
        )
        if self.failed:
            name, reason = next(iter(self.failed.items()))
            text += f"; {self.num_failed} failed, the first is {name}: {reason.rstrip('.')}"
        return "\n".join([text + ".", *self.quality.lines()])


LabelImages = Callable[[LabelJob], Iterable[Outcome]]  # labels `job.left`, in any order


def label(
    config: LabelConfig,
    runtime: Runtime,
    worker: Worker,
    tracker: Tracker,
    report: Report | None = None,
) -> LabelResult:
    """Label what is left, in this process. Failures are recorded and do not stop it.

    Raises UserError for a data set that cannot be opened and a folder that cannot be written.
    """

    def label_images(job: LabelJob) -> Iterator[Outcome]:
        labeller = job.labeller.build(worker.device, job.frames)
        size = runtime.label_batch_size
        for start in range(0, len(job.left), size):
            names = job.left[start : start + size]
            images = [read_image(job.frames, name) for name in names]
            for name, ids in zip(names, label_batch(labeller, images, names), strict=True):
                yield write_labels(job.store, name, ids)

    return run_label_job(config, runtime, tracker, label_images, report)


def run_label_job(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    label_images: LabelImages,
    report: Report | None = None,
) -> LabelResult:
    """Open the job, label what is left, record it as a run and sum it up.

    A run with failures ends as FAILED; the same command opens it again and tries those images
    once more. A finished job opens no run.
    """
    job = open_job(config, runtime)
    job.store.begin(job.labeller)
    key = RunKey("label", run_fingerprint(config, job))
    if not job.left and tracker.finished(key):
        return _result(job, key, _Tally(job))
    tags = {"dataset": job.frames.fingerprint, "labels": job.labeller.identity}
    result = None
    try:
        with tracker.run(key, f"label {job.labeller.kind}", config, tags) as run:
            tally = _Tally(job)
            _consume(job, label_images(job), tally, report)
            result = _result(job, key, tally)
            job.store.write_failed({**_failures_elsewhere(job), **result.failed})
            run.log_metrics(_metrics(result), 0)
            run.set_tags({"path": result.path})
            if result.failed:
                raise _ImagesFailedError
    except _ImagesFailedError:
        pass
    assert result is not None
    return result


def open_job(config: LabelConfig, runtime: Runtime) -> LabelJob:
    """Open the data set and find, by one listing, which images have no map yet."""
    frames = config.dataset.open(runtime.data_path(), runtime.cache_path())
    names = tuple(frames.image_names())
    if not names:
        raise UserError(
            f"The data set at {runtime.data_root} has no images to label; choose a split and "
            "cameras that have some."
        )
    store = LabelStore(runtime.out, frames.fingerprint, config.labeller.identity)
    map_of = {name: label_name(name) for name in names}
    if len(set(map_of.values())) < len(map_of):
        raise UserError(f"Two images below {runtime.data_root} differ by their suffix alone.")
    finished = store.finished()
    left = tuple(sorted(name for name, file in map_of.items() if file not in finished))
    return LabelJob(frames, config.labeller, store, names, left)


def run_fingerprint(config: LabelConfig, job: LabelJob) -> str:
    """Return 12 hex digits of everything that decides the labels, and nothing else."""
    parts = (config.fingerprint(), job.frames.fingerprint, job.labeller.identity)
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]


def read_image(frames: Frames, name: str) -> UInt8[np.ndarray, "rows columns 3"] | str:
    """Return an image, or why it cannot be read."""
    try:
        return frames.read_image(name)
    except Exception as error:  # whatever a broken file raises, it is this image's alone
        return _reason(error)


def label_batch(
    labeller: ImageLabeller, images: Sequence[np.ndarray | str], names: Sequence[str]
) -> list[np.ndarray | str]:
    """Return a map per image; an image that is a reason instead keeps it.

    If the batch fails, its images are tried one by one, so that one bad image costs itself alone
    and a batch too large for the device's memory only time.
    """
    readable = [
        (image, name)
        for image, name in zip(images, names, strict=True)
        if not isinstance(image, str)
    ]
    maps: list[np.ndarray | str]
    try:
        maps = list(labeller(*map(list, zip(*readable, strict=True)))) if readable else []
    except Exception as error:
        maps = (
            [_reason(error)]
            if len(readable) == 1
            else [label_batch(labeller, [image], [name])[0] for image, name in readable]
        )
    for (image, _), ids in zip(readable, maps, strict=True):
        assert isinstance(ids, str) or ids.shape == image.shape[:2], "map of another size"
    rest = iter(maps)
    return [image if isinstance(image, str) else next(rest) for image in images]


def write_labels(store: LabelStore, name: str, ids: np.ndarray | str) -> Outcome:
    """Write one map, or pass on why there is none."""
    if isinstance(ids, str):
        return Outcome(name, "failed", ids)
    num_classes = len(store.class_names)
    counts = np.bincount(ids.ravel(), minlength=IGNORE + 1)
    assert not counts[num_classes:IGNORE].any(), "the labeller used a class it does not name"
    try:
        store.write(name, ids)
    except UserError as error:
        return Outcome(name, "unwritten", str(error))
    return Outcome(name, "done", "", (*counts[:num_classes].tolist(), int(counts[IGNORE])))


class _ImagesFailedError(Exception):
    """Ends a run as FAILED although its job went to the end."""


class _Tally:
    """Sums of the outcomes so far: a driver must not keep 200,000 of them."""

    def __init__(self, job: LabelJob):
        self.num_done = 0
        self.failed: dict[str, str] = {}
        self.class_pixels = np.zeros(len(job.labeller.class_names) + 1, dtype=np.int64)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; raise UserError where nothing can be written any more."""
        if outcome.status == "unwritten":
            raise UserError(outcome.reason)
        if outcome.status == "failed":
            self.failed[outcome.image_name] = outcome.reason
        else:
            self.num_done += 1
            self.class_pixels += outcome.class_pixels


def _consume(
    job: LabelJob, outcomes: Iterable[Outcome], tally: _Tally, report: Report | None
) -> None:
    report = report or Progress("label", "images")
    num_left = len(job.left)
    for outcome in outcomes:
        tally.add(outcome)
        report(tally.num_done + len(tally.failed), num_left)
    assert tally.num_done + len(tally.failed) == num_left, "images were lost on the way"


def _failures_elsewhere(job: LabelJob) -> dict[str, str]:
    """Return the recorded failures of other splits, whose maps share the folder."""
    mine = set(job.image_names)
    return {name: why for name, why in job.store.failed().items() if name not in mine}


def _result(job: LabelJob, key: RunKey, tally: _Tally) -> LabelResult:
    counts = tally.class_pixels.tolist()
    return LabelResult(
        path=job.store.path,
        fingerprint=key.fingerprint,
        num_images=len(job.image_names),
        num_done_before=len(job.image_names) - len(job.left),
        num_labelled=tally.num_done,
        failed=dict(sorted(tally.failed.items())),
        class_pixels=dict(zip((*job.labeller.class_names, ""), counts, strict=True)),
        quality=survey(
            job.frames, job.store, [n for n in job.image_names if n not in tally.failed]
        ),
    )


def _metrics(result: LabelResult) -> dict[str, float]:
    metrics = {
        "num_images": float(result.num_images),
        "num_done_before": float(result.num_done_before),
        "num_labelled": float(result.num_labelled),
        "num_failed": float(result.num_failed),
    }
    return {**metrics, **result.quality.metrics()}


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
