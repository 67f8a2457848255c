"""The labelling stage as a Ray Data job: the same pieces as in one process, on many.

    read and decode on CPUs  ->  label on actors (a GPU each, or a part of one)  ->  write on CPUs

Images on their way are the only large thing; the driver sees one small row per image. What is
finished is decided before the job starts, by one listing of the store, and not by Ray's own
checkpoints. Run as a script it is the command `olivine label`.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from olivine.config import LabelConfig, Runtime
from olivine.label import (
    LabelJob,
    LabelResult,
    Outcome,
    label_batch,
    read_image,
    run_label_job,
    write_labels,
)
from olivine.label_store import LabelStore
from olivine.network_parts import Labeller
from olivine.parts import Frames
from olivine.progress import Report
from olivine.tracking import Tracker

# A block costs the scheduler about 0.1 s whatever it holds; with ten batches in each, that is
# little beside the labeller. Fewer where the actors would otherwise wait for their first block.
_BATCHES_PER_BLOCK = 10
_BLOCKS_PER_ACTOR = 4

# An image, or a map, is its bytes and its shape: Arrow hands them on without a copy, and images
# of different sizes share a column. `reason` is empty unless something failed.
_IMAGES = pa.schema(
    [
        ("image_name", pa.string()),
        ("reason", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("data", pa.large_binary()),
    ]
)
_OUTCOMES = pa.schema(
    [
        ("image_name", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("class_pixels", pa.list_(pa.int64())),
    ]
)


def label_on_ray(
    config: LabelConfig, runtime: Runtime, tracker: Tracker, report: Report | None = None
) -> LabelResult:
    """Label what is left on the connected Ray cluster; byte for byte what `olivine.label` does.

    Raises UserError as the stage does. Killed processes are restarted by Ray and their images
    labelled again; a job that is killed itself goes on where it stopped.
    """

    def label_images(job: LabelJob) -> Iterator[Outcome]:
        return _stream(job, runtime) if job.left else iter(())

    return run_label_job(config, runtime, tracker, label_images, report)


class ImageSource(Datasource):
    """Images that are left, one read task per chunk of names.

    `from_items` would put all names into the object store in one block per CPU, and forgets on a
    retry what was done.
    """

    def __init__(self, frames: Frames, names: Sequence[str], chunk_size: int, batch_size: int):
        super().__init__()
        self._frames, self._names = frames, names
        self._chunk_size, self._batch_size = chunk_size, batch_size

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown before the images are decoded."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return the tasks; their number follows from the batches, not from `parallelism`."""
        frames = ray.put(self._frames)  # once, not once per task
        return [
            _read_task(frames, self._names[start : start + self._chunk_size], self._batch_size)
            for start in range(0, len(self._names), self._chunk_size)
        ]


class LabelImages:
    """An actor that holds the loaded labeller."""

    def __init__(self, labeller: Labeller, device: str, frames: Frames):
        import torch

        self._label = labeller.build(torch.device(device), frames)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Replace images by their maps."""
        names = table["image_name"].to_pylist()
        return _table(names, label_batch(self._label, list(_arrays(table)), names))


def _write_table(table: pa.Table, store: LabelStore) -> pa.Table:
    """Write maps through the store and leave one small row for each."""
    outcomes = [
        write_labels(store, name, ids)
        for name, ids in zip(table["image_name"].to_pylist(), _arrays(table), strict=True)
    ]
    return pa.Table.from_pylist([vars(outcome) for outcome in outcomes], schema=_OUTCOMES)


def _stream(job: LabelJob, runtime: Runtime) -> Iterator[Outcome]:
    """Run the job and yield what became of each image, in the order in which they finish."""
    _let_the_stage_speak()
    batch = runtime.label_batch_size
    device, resources = _actor_resources(runtime)
    chunk = _chunk_size(len(job.left), batch, runtime.num_label_actors)
    # Told how many blocks there are, Ray does not split them to reach 200 of its own.
    images = ray.data.read_datasource(
        ImageSource(job.frames, job.left, chunk, batch),
        override_num_blocks=-(-len(job.left) // chunk),
    )
    outcomes = images.map_batches(
        LabelImages,
        fn_constructor_args=(job.labeller, device, job.frames),
        batch_size=batch,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=runtime.num_label_actors),
        **resources,
    ).map_batches(
        _write_table,
        fn_kwargs={"store": job.store},
        batch_size=batch,
        batch_format="pyarrow",
    )
    for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in table.to_pylist():
            yield Outcome(**{**row, "class_pixels": tuple(row["class_pixels"])})


def _let_the_stage_speak() -> None:
    """Keep Ray Data's plan and progress off the console; its log files have them, and errors."""
    DataContext.get_current().enable_progress_bars = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


def _chunk_size(num_left: int, batch_size: int, num_actors: int) -> int:
    """Return images per read task: whole batches, so that none is short before the last."""
    num_batches = -(-num_left // batch_size)
    per_block = num_batches // (num_actors * _BLOCKS_PER_ACTOR)
    return batch_size * min(_BATCHES_PER_BLOCK, max(1, per_block))


def _actor_resources(runtime: Runtime) -> tuple[str, dict[str, float]]:
    """Return the actors' device and what each reserves.

    Actors on CPUs leave one to the reading and writing tasks: a pool that takes them all waits
    for images that nobody can read.
    """
    available = ray.cluster_resources()
    if runtime.device == "cuda" or (runtime.device == "auto" and available.get("GPU", 0) > 0):
        return "cuda", {"num_gpus": runtime.gpus_per_label_actor, "num_cpus": 0}
    num_cpus = available.get("CPU", 0)
    if not num_cpus:  # a head without workers yet: they come when asked
        return "cpu", {"num_cpus": 1}
    free = num_cpus - 1 if num_cpus > 1 else 0.5
    return "cpu", {"num_cpus": min(1.0, free / runtime.num_label_actors)}


def _read_task(frames: "ray.ObjectRef[Frames]", names: Sequence[str], batch_size: int) -> ReadTask:
    metadata = BlockMetadata(
        num_rows=len(names), size_bytes=None, input_files=None, exec_stats=None
    )
    return ReadTask(_Reading(frames, names, batch_size), metadata)


class _Reading:
    """Reads and decodes one chunk, a batch at a time."""

    def __init__(self, frames: Any, names: Sequence[str], batch_size: int):
        self._frames, self._names, self._batch_size = frames, names, batch_size

    def __call__(self) -> Iterable[pa.Table]:
        frames = ray.get(self._frames)
        for start in range(0, len(self._names), self._batch_size):
            names = self._names[start : start + self._batch_size]
            yield _table(names, [read_image(frames, name) for name in names])


def _table(names: Sequence[str], arrays: Sequence[np.ndarray | str]) -> pa.Table:
    """Return images or maps, or the reasons why there are none, as rows."""
    rows = [
        {"image_name": name, "reason": array, "shape": [], "data": b""}
        if isinstance(array, str)
        else {"image_name": name, "reason": "", "shape": array.shape, "data": array.tobytes()}
        for name, array in zip(names, arrays, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=_IMAGES)


def _arrays(table: pa.Table) -> Iterator[np.ndarray | str]:
    """Give back what `_table` was given; arrays are views that cannot be written."""
    shapes, reasons = table["shape"].to_pylist(), table["reason"].to_pylist()
    for shape, reason, data in zip(shapes, reasons, table["data"], strict=True):
        yield reason or np.frombuffer(data.as_buffer(), dtype=np.uint8).reshape(shape)


if __name__ == "__main__":
    from olivine.cli import main

    sys.exit(main(["label", *sys.argv[1:]]))
