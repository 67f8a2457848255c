"""How much memory a batch of images takes, and how much there is."""

import contextlib
from pathlib import Path

import torch

SAFE_SHARE = 0.8  # of the free memory; the next image may be larger than the first


LEAST_BYTES = 1 << 20  # that an image takes: smaller ones hide in memory that was free already


NUM_UNMEASURED = 8  # where a system does not tell how much memory a process takes


# What torch raises besides OutOfMemoryError: cuBLAS and cuDNN without room, and its allocator on
# the CPU, which raises a bare RuntimeError.
_NO_ROOM = ("alloc_failed", "can't allocate memory", "not enough memory", "out of memory")


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


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory was short."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_ROOM)


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
