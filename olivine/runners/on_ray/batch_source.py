"""Batches made by Ray Data: decoded on the cluster's CPUs, in order, for one trainer each.

    sample keys of each batch  ->  read, augment and collate on actors  ->  this trainer

Every trainer streams its own batches, beginning at the step at which it starts. Its actors live
through all epochs, each with its own cache of samples, like the processes of the in-process loader.
A batch is one row and one block, so the number of batches that are ready or in the making is
limited.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources
from ray.util.placement_group import placement_group, remove_placement_group
from torch.utils.data import Dataset

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.shipped_code import NO_USER_CODE, UserCode
from olivine.core.user_parts import errors_of_user_code
from olivine.data.batch import Batch
from olivine.data.loader import BatchSource, load_batches
from olivine.data.records import Sample
from olivine.data.schedule import BatchKeys
from olivine.runners.on_ray.packed_batch import packed, unpacked
from olivine.runners.on_ray.pickled import PickledWithCode
from olivine.runners.on_ray.read_tasks import FixedReadTasks

# The object store may hold this many batches per actor, and two more, for a trainer. Ray Data gives
# an actor about half of them; with fewer, actors wait for each other.
AHEAD_PER_ACTOR, AHEAD = 4, 2
MAX_WAIT_S = 600.0  # how long to wait for CPUs or, on a growing cluster, for nodes
_TASKS_IN_FLIGHT = 2  # so that an actor has the next keys when it has made a batch

# Read tasks are put into the object store one by one before the first one runs.
_MIN_CHUNK, _MAX_CHUNKS = 64, 500

_KEYS = pa.schema(
    [
        ("number", pa.int64()),
        ("epoch", pa.list_(pa.int64())),
        ("frame", pa.list_(pa.int64())),
    ]
)
# A batch is a pickle and the memory of its tensors; `reason` is empty unless it could not be made.
_BATCHES = pa.schema(
    [
        ("number", pa.int64()),
        ("reason", pa.string()),
        ("parts", pa.list_(pa.large_binary())),
    ]
)

Collate = Callable[[Sequence[Sample]], Batch]


def batch_source_of(runtime: Runtime, code: UserCode = NO_USER_CODE) -> BatchSource:
    """Return the batch source of a runtime; `code` is the user code that its samples need."""
    return RayDataSource(code) if runtime.feed == "ray_data" else load_batches


def decoding_cpus(runtime: Runtime) -> int:
    """Return the number of CPUs that a batch source holds beside those of its trainers."""
    if runtime.feed == "loader":
        return 0
    per_worker = runtime.num_loader_workers
    return runtime.num_workers * (1 if per_worker == "auto" else max(1, per_worker))


def require_cpus(runtime: Runtime, trainer_cpus: int, max_wait_s: float = MAX_WAIT_S) -> None:
    """Raise UserError unless the batch source's actors can start beside trainers of `trainer_cpus`.

    All CPUs are requested at once and released again, because actors and trainers that start one by
    one would wait for each other. A growing cluster gets `max_wait_s`; a Ray of this machine must
    have enough.
    """
    num_actors = decoding_cpus(runtime)
    if not num_actors:
        return
    advice = (
        "lower runtime.num_loader_workers or runtime.num_workers, or use --set runtime.feed=loader."
    )
    held = trainer_cpus + _reserved_cpus()
    has = ray.cluster_resources().get("CPU", 0)
    grows = bool(runtime.ray_address or os.environ.get("RAY_ADDRESS"))
    if held + num_actors > has and not grows:
        raise UserError(
            f"runtime.feed=ray_data decodes on {num_actors} CPUs beside {held:g} that the training "
            f"holds, and Ray has {has:g} here: {advice}"
        )
    group = placement_group([{"CPU": 1}] * (trainer_cpus + num_actors))
    try:
        if not group.wait(max_wait_s):
            raise UserError(
                f"The cluster had no {trainer_cpus + num_actors} CPUs free within {max_wait_s:g} s "
                f"for the training and its feed, runtime.feed=ray_data: {advice}"
            )
    finally:
        remove_placement_group(group)


def _reserved_cpus() -> float:
    """Return the CPUs reserved for this process: a trial of a sweep has some, a driver has none."""
    context = ray.get_runtime_context()
    return context.get_assigned_resources().get("CPU", 0.0) if context.get_actor_id() else 0.0


class RayDataSource:
    """Streams a trainer's batches; see `olivine.data.loader.BatchSource`."""

    def __init__(self, code: UserCode = NO_USER_CODE):
        self._code = code

    def __call__(
        self,
        samples: Dataset[Sample],
        batch_keys: BatchKeys,
        collate: Collate,
        num_processes: int,
    ) -> Generator[Batch, None, None]:
        """Yield the batch of each entry of `batch_keys`, made by at least one actor of a CPU each.

        The first batch is made here: its size decides how many batches may wait; if later ones are
        larger, fewer wait. Closing the iterator ends the actors. Raises UserError as the reading of
        a sample does.
        """
        num_left, left = len(batch_keys) - 1, iter(batch_keys)
        pickled = PickledWithCode.pack((samples, collate), self._code) if num_left > 0 else None
        for first in islice(left, 1):
            batch = collate([samples[key] for key in first])
            num_bytes = sum(len(part) for part in packed(batch))
            yield batch
            del batch
        if pickled is not None:
            shared = ray.put(pickled)
            num_actors = min(max(1, num_processes), num_left)
            yield from self._streamed(shared, BatchKeySource(left, num_left), num_actors, num_bytes)

    def _streamed(
        self, shared: Any, source: "BatchKeySource", num_actors: int, num_bytes: int
    ) -> Generator[Batch, None, None]:
        with DataContext.current(_context(num_actors, num_bytes)):
            batches = ray.data.read_datasource(
                source,
                override_num_blocks=source.num_chunks,
                num_cpus=0,  # tasks yield keys; the last CPU of a small machine is for an actor
                concurrency=1,
            ).map_batches(
                BatchMaker,
                fn_constructor_kwargs={"shared": shared},
                batch_size=1,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(
                    size=num_actors, max_tasks_in_flight_per_actor=_TASKS_IN_FLIGHT
                ),
                num_cpus=1,
            )
        # Ray Data schedules in an actor; here it would take a fifth of the training's time.
        (stream,) = batches.streaming_split(1)
        tables = iter(
            stream.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
        )
        try:
            for number, table in enumerate(tables):
                assert table["number"].to_pylist() == [number], "Ray Data keeps the order"
                yield _batch_of(table)
        finally:
            tables.close()


class BatchKeySource(FixedReadTasks):
    """The sample keys of every batch, one row per batch and a read task per chunk of batches."""

    def __init__(self, batch_keys: Iterator[list[tuple[int, int]]], num_batches: int):
        super().__init__()
        size = max(_MIN_CHUNK, -(-num_batches // _MAX_CHUNKS))
        self._chunks = [
            _Chunk(_numbered(islice(batch_keys, size), start))
            for start in range(0, num_batches, size)
        ]

    @property
    def num_chunks(self) -> int:
        """The number of read tasks."""
        return len(self._chunks)

    def chunks(self) -> Iterator[tuple["_Chunk", int]]:
        """Yield what reads each chunk, and its number of batches."""
        return ((chunk, len(chunk.rows)) for chunk in self._chunks)


@dataclass(frozen=True)
class _Chunk:
    """Reads rows one by one, so that each becomes a block."""

    rows: pa.Table

    def __call__(self) -> Iterable[pa.Table]:
        for start in range(len(self.rows)):
            yield self.rows.slice(start, 1)


def _numbered(batch_keys: Iterable[list[tuple[int, int]]], start: int) -> pa.Table:
    rows = [
        {"number": number, "epoch": [e for e, _ in batch], "frame": [f for _, f in batch]}
        for number, batch in enumerate(batch_keys, start)
    ]
    return pa.Table.from_pylist(rows, schema=_KEYS)


class BatchMaker:
    """An actor that reads, augments and collates samples, and caches them within its limit."""

    def __init__(self, shared: Any):
        torch.set_num_threads(1)
        self._broken = ""
        try:
            with errors_of_user_code():
                self._samples, self._collate = ray.get(shared).open()
        except UserError as error:  # if raised here, it would reach the user as a dead actor
            self._broken = str(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return a batch for its sample keys, or the reason why there is none."""
        rows = [self._row(**row) for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=_BATCHES)

    def _row(self, number: int, epoch: list[int], frame: list[int]) -> dict[str, Any]:
        batch_keys = zip(epoch, frame, strict=True)
        try:
            if self._broken:
                raise UserError(self._broken)
            with errors_of_user_code():
                batch = self._collate([self._samples[key] for key in batch_keys])
        except UserError as error:  # if raised here, it would reach the user in a traceback of Ray
            return {"number": number, "reason": str(error), "parts": []}
        return {"number": number, "reason": "", "parts": packed(batch)}


def _context(num_actors: int, num_bytes: int) -> DataContext:
    """Return the settings of one stream; those of the process are not changed."""
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # byte; a row is larger, so each is a block and a task
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=(AHEAD_PER_ACTOR * num_actors + AHEAD) * num_bytes
    )
    return context


def _batch_of(table: pa.Table) -> Batch:
    """Return the batch of a row; raise the UserError that the row holds instead."""
    reason = table["reason"][0].as_py()
    if reason:
        raise UserError(reason)
    return unpacked([part.as_buffer() for part in table["parts"][0].values])
