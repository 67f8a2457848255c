"""The labelling stage as a Ray Data job, with the same functions as in one process.

    read and decode on CPUs  ->  label on actors (a GPU each, or a share of one)  ->  write on CPUs

Only images and maps are large; the driver gets one small row per image. One listing of the store
finds the finished images before the job starts; Ray's own checkpoints are not used.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from olivine.core.errors import UserError
from olivine.core.progress import Report
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import NO_USER_CODE, UserCode
from olivine.core.user_parts import errors_of_user_code
from olivine.data.dataset import Frames
from olivine.labels.batches import BatchLabeller, batch_cap, block_sizes
from olivine.labels.config import EVERY_NEW_IMAGE, LabelConfig, Selection
from olivine.labels.image_files import read_image, write_image
from olivine.labels.job import LabelResult, run_label_job
from olivine.labels.opened_job import LabelJob
from olivine.labels.records import FailedImage, ImageResult, LabelledImage, ReadImage, Usage
from olivine.labels.store import LabelStore
from olivine.runners.on_ray.pickled import PickledWithCode, user_error_in
from olivine.runners.on_ray.read_tasks import FixedReadTasks
from olivine.tracking.tracker import Tracker

ImageT = TypeVar("ImageT", ReadImage, LabelledImage)

# Blocks sent to an actor before it has finished one, so that it never waits for the next one; a
# killed actor loses little.
_TASKS_IN_FLIGHT = 2

# CPUs of a reading and of a writing task. With whole CPUs, reading would hold the last CPU of a
# small machine until all images are read, and no map would be written before.
_READ_CPUS, _WRITE_CPUS = 0.75, 0.25

# An image, or a map, is its bytes and its shape: Arrow passes them without a copy, and images of
# different sizes share a column. `reason` is empty unless something failed.
_IMAGES = pa.schema(
    [
        ("image_name", pa.string()),
        ("reason", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("data", pa.large_binary()),
        ("made_of", pa.string()),
    ]
)
_USAGE = pa.struct(
    [
        ("actor", pa.string()),
        ("held_s", pa.float64()),
        ("busy_s", pa.float64()),
        ("num_gpus", pa.float64()),
    ]
)
# A map comes with its actor's usage so far; without usage, `reason` stops the job.
_MAPS = pa.schema([*_IMAGES, ("usage", _USAGE)])
_RESULTS = pa.schema(
    [
        ("image_name", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("class_pixels", pa.list_(pa.int64())),
        ("usage", _USAGE),
        ("made_of", pa.string()),
    ]
)


def label_on_ray(
    config: LabelConfig,
    runtime: Runtime,
    tracker: Tracker,
    report: Report | None = None,
    *,
    selection: Selection = EVERY_NEW_IMAGE,
) -> LabelResult:
    """Label the remaining images on the connected Ray cluster, byte for byte as `label` does.

    Raises UserError as the stage does. Ray restarts killed processes, and their images are labelled
    again; a job that is killed itself goes on where it stopped.
    """
    code = UserCode.of(config)

    def stream(job: LabelJob) -> Iterator[ImageResult]:
        try:
            yield from _stream(job, runtime, code)
        except ray.exceptions.RayError as error:
            mistake = user_error_in(error)  # of a worker that reads images
            raise mistake or error from None

    return run_label_job(config, runtime, tracker, stream, report, selection=selection)


class ImageSource(FixedReadTasks):
    """The remaining images, one read task per block.

    `from_items` would put all names into the object store in one block per CPU, and would repeat
    finished work after a retry.
    """

    def __init__(
        self,
        frames: Frames,
        names: Sequence[str],
        blocks: Sequence[int],
        batch: int,
        code: UserCode = NO_USER_CODE,
    ):
        super().__init__()
        self._frames, self._code = frames, code
        self._names, self._blocks, self._batch = names, blocks, batch

    def chunks(self) -> Iterator[tuple["_Reading", int]]:
        """Yield what reads each block, and its number of images."""
        starts = accumulate(self._blocks, initial=0)
        for start, size in zip(starts, self._blocks, strict=False):
            yield _Reading(*self._shared, start, size, self._batch), size

    @cached_property
    def _shared(self) -> tuple[Any, Any]:
        """Frames and names in the object store, put there once for all of Ray's requests for tasks.

        An Arrow array is read there without a copy.
        """
        pickled = PickledWithCode.pack(self._frames, self._code)
        return ray.put(pickled), ray.put(pa.array(self._names, pa.string()))


class LabelImages:
    """An actor with the loaded labeller.

    `settings` are those of `BatchLabeller`. A labeller that cannot be loaded is reported with its
    first images; an error in the constructor would reach the driver as a dead actor.
    """

    def __init__(self, pickled: PickledWithCode, device: str, **settings: Any):
        import torch

        self._broken = ""
        try:
            with errors_of_user_code():
                labeller, frames = pickled.open()
                self._label = BatchLabeller(labeller, torch.device(device), frames, **settings)
        except UserError as error:
            self._broken = str(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Replace images by their maps, or by the reason why the labeller makes none."""
        images = list(_images(table, ReadImage))
        try:
            if self._broken:
                raise UserError(self._broken)
            return _table(self._label(images), _MAPS, usage=vars(self._label.usage))
        except UserError as error:  # if raised here, it would reach the user in a traceback of Ray
            return _table([FailedImage(image.name, str(error)) for image in images], _MAPS)


def _write_table(table: pa.Table, store: LabelStore, retries: bool) -> pa.Table:
    """Write maps through the store and return one small row for each."""
    rows = []
    usages = table["usage"].to_pylist()
    for image, usage in zip(_images(table, LabelledImage), usages, strict=True):
        if usage is None:  # no labeller could be loaded
            assert isinstance(image, FailedImage)
            result = ImageResult(image.name, "fatal", image.reason)
        else:
            result = write_image(store, image, Usage(**usage), retries)
        rows.append({**vars(result), "usage": result.usage and vars(result.usage)})
    return pa.Table.from_pylist(rows, schema=_RESULTS)


def _stream(job: LabelJob, runtime: Runtime, code: UserCode) -> Iterator[ImageResult]:
    """Run the job and yield the result of each image, in the order in which they finish."""
    _quiet_ray_data()
    batch, most = batch_cap(runtime), runtime.num_label_actors
    device, resources = _actor_resources(runtime)
    blocks = block_sizes(len(job.left), batch, most)
    # If the number of blocks is given, Ray does not split them to get 200.
    images = ray.data.read_datasource(
        ImageSource(job.frames, job.left, blocks, batch, code),
        override_num_blocks=len(blocks),
        num_cpus=_READ_CPUS,
    )
    results = images.map_batches(
        LabelImages,
        fn_constructor_kwargs={
            "pickled": PickledWithCode.pack((job.labeller, job.frames), code),
            "device": device,
            "size": runtime.label_batch_size,
            "gpu_share": runtime.gpus_per_label_actor,
            "num_neighbours": most,
        },
        batch_size=batch,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=runtime.min_label_actors,
            max_size=most,
            max_tasks_in_flight_per_actor=_TASKS_IN_FLIGHT,
        ),
        **resources,
    ).map_batches(
        _write_table,
        fn_kwargs={"store": job.store, "retries": job.retries},
        batch_size=batch,
        batch_format="pyarrow",
        num_cpus=_WRITE_CPUS,
    )
    for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in table.to_pylist():
            usage = row["usage"] and Usage(**row["usage"])
            pixels = tuple(row["class_pixels"])
            yield ImageResult(**{**row, "class_pixels": pixels, "usage": usage})


def _quiet_ray_data() -> None:
    """Keep Ray Data's plan and progress off the console; its log files have them.

    Handlers that are not Ray's own belong to the program that runs the job.
    """
    DataContext.get_current().enable_progress_bars = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and type(handler).__module__[:4] == "ray.":
            handler.setLevel(logging.ERROR)


def _actor_resources(runtime: Runtime) -> tuple[str, dict[str, float]]:
    """Return the actors' device and the resources that each reserves.

    Actors on CPUs leave one CPU to the reading and writing tasks; otherwise they would wait for
    images that no task can read.
    """
    available = ray.cluster_resources()
    if runtime.device == "cuda" or (runtime.device == "auto" and available.get("GPU", 0) > 0):
        return "cuda", {"num_gpus": runtime.gpus_per_label_actor, "num_cpus": 0}
    num_cpus = available.get("CPU", 0)
    if not num_cpus:  # a head without workers yet, which start on request
        return "cpu", {"num_cpus": 1}
    free = num_cpus - 1 if num_cpus > 1 else 0.5
    return "cpu", {"num_cpus": min(1.0, free / runtime.num_label_actors)}


class _Reading:
    """Reads and decodes the images of one block, a batch at a time."""

    def __init__(self, frames: Any, names: Any, start: int, size: int, batch: int):
        self._frames, self._names, self._batch = frames, names, batch
        self.start, self.size = start, size

    def __call__(self) -> Iterable[pa.Table]:
        pickled, names = ray.get([self._frames, self._names])
        frames = pickled.open()
        mine = names.slice(self.start, self.size).to_pylist()
        for start in range(0, len(mine), self._batch):
            batch = mine[start : start + self._batch]
            yield _table([read_image(frames, name) for name in batch], _IMAGES)


def _table(
    images: Sequence[ReadImage | LabelledImage | FailedImage], schema: pa.Schema, **more: object
) -> pa.Table:
    """Return images, maps, or the reasons of failures, as rows."""
    rows = []
    for image in images:
        match image:
            case FailedImage(name, reason):
                row = {"image_name": name, "reason": reason, "shape": [], "data": b""}
                row["made_of"] = ""
            case ReadImage(name, array, made_of) | LabelledImage(name, array, made_of):
                row = {"image_name": name, "reason": "", "shape": array.shape, "made_of": made_of}
                row["data"] = array.tobytes()
        rows.append({**row, **more})
    return pa.Table.from_pylist(rows, schema=schema)


def _images(
    table: pa.Table, kind: Callable[[str, np.ndarray, str], ImageT]
) -> Iterator[ImageT | FailedImage]:
    """Yield the records of a table of `_table`; their arrays are read-only views."""
    columns = (table[name].to_pylist() for name in ("image_name", "reason", "shape", "made_of"))
    for name, reason, shape, made_of, data in zip(*columns, table["data"], strict=True):
        if reason:
            yield FailedImage(name, reason)
        else:
            array = np.frombuffer(data.as_buffer(), dtype=np.uint8).reshape(shape)
            yield kind(name, array, made_of)
