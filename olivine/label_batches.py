"""Batches of images as large as the memory allows, and what labelling them costs.

Out of memory is no fault of an image: the batch is halved, the smaller size is remembered, and the
same images are tried again. Any other error belongs to one image of the batch, which is found by
trying them one by one.
"""

import contextlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from olivine.config import Runtime
from olivine.errors import UserError
from olivine.network_parts import Labeller
from olivine.parts import Frames

MAX_IMAGES = 32  # of a batch whose size is measured
SAFE_SHARE = 0.8  # of the free memory; the next image may be larger than the first
LEAST_BYTES = 1 << 20  # that an image takes: smaller ones hide in memory that was free already
NUM_UNMEASURED = 8  # where a system does not tell how much memory a process takes

# A block costs the scheduler about 0.1 s whatever it holds; with ten batches in each, that is
# little beside the labeller. Towards the end blocks shrink, so that all actors end together.
BATCHES_PER_BLOCK = 10
BLOCKS_PER_ACTOR = 4

# What torch raises besides OutOfMemoryError: cuBLAS and cuDNN without room, and its allocator on
# the CPU, which raises a bare RuntimeError.
_NO_ROOM = ("alloc_failed", "can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True)
class Usage:
    """What one actor has cost so far."""

    actor: str
    held_s: float  # since it began to load the labeller
    busy_s: float  # of that, in the labeller
    num_gpus: float  # that it holds


class BatchLabeller:
    """A loaded labeller that finds out how many images it can be given at once.

    `size` is the largest number of images per call; 0 measures it by the memory that the first
    image takes. `gpu_share` is the part of the GPU that is ours. Raises UserError if the labeller
    cannot be loaded.
    """

    def __init__(
        self,
        labeller: Labeller,
        device: torch.device,
        frames: Frames,
        size: int,
        *,
        gpu_share: float = 1.0,
        num_neighbours: int = 1,
    ):
        self._began_s = time.monotonic()
        self._busy_s = 0.0
        self._actor = uuid.uuid4().hex[:8]
        self._num_gpus = gpu_share if device.type == "cuda" else 0.0
        self._memory = (
            _CudaMemory(device, min(1.0, gpu_share))
            if device.type == "cuda"
            else _HostMemory(1.0 / num_neighbours)
        )
        try:
            self._label = labeller.build(device, frames)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise UserError(
                f"The labeller {labeller.kind!r} does not fit into the memory of its device "
                f"({reason_of(error)}); let fewer actors share it by "
                "--set runtime.gpus_per_label_actor=1 or --set runtime.num_label_actors=1."
            ) from None
        self.size = size

    @property
    def usage(self) -> Usage:
        """What it has cost so far."""
        held_s = time.monotonic() - self._began_s
        return Usage(self._actor, held_s, self._busy_s, self._num_gpus)

    def __call__(
        self, images: Sequence[np.ndarray | str], names: Sequence[str]
    ) -> list[np.ndarray | str]:
        """Return a map per image, or the reason why there is none.

        An image that is a reason instead keeps it.
        """
        began_s = time.monotonic()
        readable = [
            (image, name)
            for image, name in zip(images, names, strict=True)
            if not isinstance(image, str)
        ]
        maps: list[np.ndarray | str] = []
        while len(maps) < len(readable):
            maps += self._label_first(readable[len(maps) :])
        for (image, _), ids in zip(readable, maps, strict=True):
            assert isinstance(ids, str) or ids.shape == image.shape[:2], "map of another size"
        rest = iter(maps)
        self._busy_s += time.monotonic() - began_s
        return [image if isinstance(image, str) else next(rest) for image in images]

    def _label_first(self, rest: Sequence[tuple[np.ndarray, str]]) -> list[np.ndarray | str]:
        """Label as many as fit from the front; none where that was found to be too many."""
        if not self.size:
            return [self._label_measured(rest[0])]
        batch = rest[: self.size]
        maps, too_many = self._try(batch)
        if maps:
            return maps
        if too_many:
            self.size = len(batch) // 2
            return []
        return [self._label_one(one) for one in batch]

    def _label_one(self, one: tuple[np.ndarray, str]) -> np.ndarray | str:
        return self._try([one])[0][0]

    def _label_measured(self, one: tuple[np.ndarray, str]) -> np.ndarray | str:
        """Label one image and set the size by what it took; a bad image measures nothing."""
        self._memory.start()
        ids = self._label_one(one)
        if not isinstance(ids, str):
            self.size = min(MAX_IMAGES, max(1, self._memory.num_that_fit()))
        return ids

    def _try(self, batch: Sequence[tuple[np.ndarray, str]]) -> tuple[list[np.ndarray | str], bool]:
        """Return the maps, or none and whether memory was short; a single image has its reason."""
        try:
            maps = self._label(*map(list, zip(*batch, strict=True)))
        except Exception as error:  # whatever one image makes a network raise
            reason, too_many = reason_of(error), out_of_memory(error)
        else:
            assert len(maps) == len(batch), "the labeller must return one map per image"
            return list(maps), False
        if too_many and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # only now: the error held the tensors of its frames
        return ([reason] if len(batch) == 1 else []), too_many


class _CudaMemory:
    """Measures how many images fit beside the weights, from the peak of one."""

    def __init__(self, device: torch.device, share: float):
        self._device, self._share = device, share
        self._before = 0

    def start(self) -> None:
        """Begin to watch the peak."""
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def num_that_fit(self) -> int:
        """Return how many times what was taken since the start fits into our share."""
        peak = torch.cuda.max_memory_allocated(self._device)
        free, total = torch.cuda.mem_get_info(self._device)
        allocated = torch.cuda.memory_allocated(self._device)
        cached = torch.cuda.memory_reserved(self._device) - allocated
        room = min(free + cached, total * self._share - allocated)
        return int(SAFE_SHARE * room / max(1, peak - self._before))


class _HostMemory:
    """The same for the memory of a process on Linux, of which `share` of what is free is ours."""

    def __init__(self, share: float):
        self._share = share
        self._before = 0

    def start(self) -> None:
        """Begin to watch the peak."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            self._before = _process_bytes("VmRSS")

    def num_that_fit(self) -> int:
        """Return how many times what was taken since the start fits into our share."""
        try:
            taken = _process_bytes("VmHWM") - self._before
            free = _free_bytes()
        except OSError:
            return NUM_UNMEASURED
        return int(SAFE_SHARE * self._share * free / max(LEAST_BYTES, taken))


def batch_cap(runtime: Runtime) -> int:
    """Return how many images a labeller is given at once at most."""
    return runtime.label_batch_size or MAX_IMAGES


def block_sizes(num_images: int, batch_size: int, num_actors: int) -> list[int]:
    """Return images per block: whole batches, so that none is short before the last."""
    sizes = []
    while num_images > 0:
        num_batches = -(-num_images // batch_size) // (num_actors * BLOCKS_PER_ACTOR)
        sizes.append(min(num_images, batch_size * min(BATCHES_PER_BLOCK, max(1, num_batches))))
        num_images -= sizes[-1]
    return sizes


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory was short."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_ROOM)


def reason_of(error: BaseException) -> str:
    """Return an error as one line; a user's mistake speaks for itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _process_bytes(field: str) -> int:
    return _kilobytes(Path("/proc/self/status"), field) << 10


def _free_bytes() -> int:
    """Return what the machine, or the container, has left."""
    free = _kilobytes(Path("/proc/meminfo"), "MemAvailable") << 10
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    return max(0, free)


def _kilobytes(file: Path, field: str) -> int:
    for line in file.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise OSError(f"{file} does not tell {field}")
