"""Batches over Ray Data: decoded on the cluster's CPUs, in order, for one trainer each.

    which frames make which batch  ->  read, augment and collate on actors  ->  this trainer

Every trainer streams its own batches, from the step on at which it starts. Its actors live through
all epochs, each with its own cache of samples, as the processes of the in-process loader do. A
batch is one row and one block: what is ready, or being made, is counted in batches.
"""

import io
import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, Datasource, ExecutionResources, ReadTask
from ray.data.block import BlockMetadata
from ray.util.placement_group import placement_group, remove_placement_group
from torch import Tensor
from torch.utils.data import Dataset

from olivine.core.carried_code import NO_CODE, CarriedCode
from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.data.batch import Batch
from olivine.data.loader import Feed, load_here
from olivine.data.records import Sample
from olivine.data.schedule import Places
from olivine.runners.on_ray.sent import Sent

# Batches that the object store may hold for a trainer, made or being made: so many for each actor,
# and two. Ray Data lends an actor about half of them; with fewer, actors wait for each other.
AHEAD_PER_ACTOR, AHEAD = 4, 2
MAX_WAIT_S = 600.0  # for CPUs: on a cluster that grows, for its nodes
_TASKS_IN_FLIGHT = 2  # an actor that has made a batch finds the next one's frames waiting

# Read tasks are put into the object store one by one before the first of them runs.
_MIN_CHUNK, _MAX_CHUNKS = 64, 500

_PLACES = pa.schema(
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


def feed_of(runtime: Runtime, code: CarriedCode = NO_CODE) -> Feed:
    """Return the feed that a runtime asks for; `code` is that of other people's parts."""
    return RayDataFeed(code) if runtime.feed == "ray_data" else load_here


def decoding_cpus(runtime: Runtime) -> int:
    """Return how many CPUs a training's feed holds beside those of its trainers."""
    if runtime.feed == "loader":
        return 0
    return runtime.num_workers * max(1, runtime.num_loader_workers)


def require_cpus(runtime: Runtime, trainer_cpus: int, max_wait_s: float = MAX_WAIT_S) -> None:
    """Raise UserError unless the feed's actors can start beside trainers of so many CPUs.

    They are asked for at once and given back: actors and trainers that come one by one would wait
    for each other. A cluster that grows has time to; a Ray of our own must have enough.
    """
    num_actors = decoding_cpus(runtime)
    if not num_actors:
        return
    advice = (
        "lower runtime.num_loader_workers or runtime.num_workers, or use --set runtime.feed=loader."
    )
    held = trainer_cpus + _held_here()
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


def _held_here() -> float:
    """Return the CPUs that this process holds: a trial of a sweep has some, a driver none."""
    context = ray.get_runtime_context()
    return context.get_assigned_resources().get("CPU", 0.0) if context.get_actor_id() else 0.0


class RayDataFeed:
    """Streams a trainer's batches; see `olivine.feeds.Feed`."""

    def __init__(self, code: CarriedCode = NO_CODE):
        self._code = code

    def __call__(
        self,
        samples: Dataset[Sample],
        places: Places,
        collate: Collate,
        num_processes: int,
    ) -> Generator[Batch, None, None]:
        """Yield the batch of each entry of `places`, made by at least one actor of a CPU each.

        The first is made here: it tells how large a batch is, which bounds how many wait; where
        later ones are larger, fewer do. Closing the iterator ends the actors. Raises UserError as
        the reading of a sample does.
        """
        num_left, left = len(places) - 1, iter(places)
        sent = Sent.pack((samples, collate), self._code) if num_left > 0 else None
        for first in islice(left, 1):
            batch = collate([samples[place] for place in first])
            num_bytes = sum(len(part) for part in _packed(batch))
            yield batch
            del batch
        if sent is not None:
            shared = ray.put(sent)
            num_actors = min(max(1, num_processes), num_left)
            yield from self._streamed(shared, BatchPlaces(left, num_left), num_actors, num_bytes)

    def _streamed(
        self, shared: Any, source: "BatchPlaces", num_actors: int, num_bytes: int
    ) -> Generator[Batch, None, None]:
        with DataContext.current(_context(num_actors, num_bytes)):
            batches = ray.data.read_datasource(
                source,
                override_num_blocks=source.num_chunks,
                num_cpus=0,  # numbers alone: the last CPU of a small machine is for an actor
                concurrency=1,
            ).map_batches(
                MakeBatches,
                fn_constructor_kwargs={"shared": shared},
                batch_size=1,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(
                    size=num_actors, max_tasks_in_flight_per_actor=_TASKS_IN_FLIGHT
                ),
                num_cpus=1,
            )
        # Ray Data schedules in an actor: here it would hold Python for a fifth of the training.
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


class BatchPlaces(Datasource):
    """The (epoch, frame) of every sample, a row per batch and a read task per chunk of batches."""

    def __init__(self, places: Iterator[list[tuple[int, int]]], num_batches: int):
        super().__init__()
        size = max(_MIN_CHUNK, -(-num_batches // _MAX_CHUNKS))
        self._chunks = [
            _Chunk(_numbered(islice(places, size), start)) for start in range(0, num_batches, size)
        ]

    @property
    def num_chunks(self) -> int:
        """The number of read tasks."""
        return len(self._chunks)

    def estimate_inmemory_data_size(self) -> int | None:
        """Next to nothing."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return the tasks; their number does not follow from `parallelism`."""
        return [
            ReadTask(
                chunk,
                BlockMetadata(
                    num_rows=len(chunk.rows), size_bytes=None, input_files=None, exec_stats=None
                ),
            )
            for chunk in self._chunks
        ]


@dataclass(frozen=True)
class _Chunk:
    """Reads rows one by one, so that each becomes a block."""

    rows: pa.Table

    def __call__(self) -> Iterable[pa.Table]:
        for start in range(len(self.rows)):
            yield self.rows.slice(start, 1)


def _numbered(places: Iterable[list[tuple[int, int]]], start: int) -> pa.Table:
    rows = [
        {"number": number, "epoch": [e for e, _ in batch], "frame": [f for _, f in batch]}
        for number, batch in enumerate(places, start)
    ]
    return pa.Table.from_pylist(rows, schema=_PLACES)


class MakeBatches:
    """An actor that reads, augments and collates, and keeps samples as it was told to."""

    def __init__(self, shared: Any):
        torch.set_num_threads(1)
        self._broken = ""
        try:
            self._samples, self._collate = ray.get(shared).open()
        except UserError as error:  # raised here, it would reach the user as a dead actor
            self._broken = str(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Replace the places of a batch by the batch, or by the reason why there is none."""
        rows = [self._row(**row) for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=_BATCHES)

    def _row(self, number: int, epoch: list[int], frame: list[int]) -> dict[str, Any]:
        places = zip(epoch, frame, strict=True)
        try:
            if self._broken:
                raise UserError(self._broken)
            batch = self._collate([self._samples[place] for place in places])
        except UserError as error:  # raised here, it would reach the user within Ray's traceback
            return {"number": number, "reason": str(error), "parts": []}
        return {"number": number, "reason": "", "parts": _packed(batch)}


def _context(num_actors: int, num_bytes: int) -> DataContext:
    """Return the settings of one stream; those of the process stay as they are."""
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # byte: a row is larger, so each is a block, and a task
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=(AHEAD_PER_ACTOR * num_actors + AHEAD) * num_bytes
    )
    return context


def _batch_of(table: pa.Table) -> Batch:
    """Return the batch of a row; raise the UserError that it has instead."""
    reason = table["reason"][0].as_py()
    if reason:
        raise UserError(reason)
    return _unpacked([part.as_buffer() for part in table["parts"][0].values])


class _Packer(pickle.Pickler):
    """Leaves the memory of tensors out of the pickle."""

    def reducer_override(self, thing: Any) -> Any:
        """Take a tensor apart, its dimensions in the order in which they lie in memory."""
        if not isinstance(thing, Tensor):
            return NotImplemented
        order = sorted(range(thing.dim()), key=thing.stride, reverse=True)
        dense = thing.permute(order).contiguous()
        memory = pickle.PickleBuffer(dense.reshape(-1).view(torch.uint8).numpy().data)
        return _tensor, (memory, thing.dtype, dense.shape, order)


def _packed(batch: Batch) -> list[memoryview]:
    """Return a batch as a pickle, and the memory of its tensors, which is not copied."""
    head, memory = io.BytesIO(), list[pickle.PickleBuffer]()
    _Packer(head, protocol=5, buffer_callback=memory.append).dump(batch)
    return [head.getbuffer(), *(part.raw() for part in memory)]


def _unpacked(parts: Sequence[Any]) -> Batch:
    """Return the batch of `_packed`, in memory of its own."""
    head, *memory = parts
    return pickle.loads(head, buffers=memory)


def _tensor(memory: Any, dtype: torch.dtype, shape: Sequence[int], order: list[int]) -> Tensor:
    # What lies in the object store cannot be written, and would stay there as long as the batch.
    dense = torch.empty(shape, dtype=dtype, pin_memory=torch.cuda.is_available())
    np.copyto(dense.view(-1).view(torch.uint8).numpy(), np.frombuffer(memory, np.uint8))
    return dense.permute(np.argsort(order).tolist())
