"""The memory that a batch of images takes, and the memory that is free."""

import contextlib
from pathlib import Path

import torch

SAFE_SHARE = 0.8  # of the free memory; the next image may be larger than the first


LEAST_BYTES = 1 << 20  # counted per image: smaller amounts are not visible in the peak


NUM_UNMEASURED = 8  # on a system that does not report a process's memory


# Messages of other errors than OutOfMemoryError: cuBLAS and cuDNN without memory, and torch's
# allocator on the CPU, which raises a plain RuntimeError. The last is torch's when every way to
# compute a convolution lacked the memory to work in.
_NO_ROOM = (
    "alloc_failed",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "unable to find an engine",
)


class _CudaMemory:
    """Derives the number of images that fit beside the weights from the peak memory of one."""

    def __init__(self, device: torch.device, share: float):
        self._device, self._share = device, share
        self._before = 0

    def start(self) -> None:
        """Reset the peak."""
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def num_that_fit(self) -> int:
        """Return how many times the memory taken since the start fits into our share."""
        peak = torch.cuda.max_memory_allocated(self._device)
        free, total = torch.cuda.mem_get_info(self._device)
        allocated = torch.cuda.memory_allocated(self._device)
        cached = torch.cuda.memory_reserved(self._device) - allocated
        room = min(free + cached, total * self._share - allocated)
        return int(SAFE_SHARE * room / max(1, peak - self._before))


class _HostMemory:
    """Derives that number for a process on Linux, which may use `share` of the free memory."""

    def __init__(self, share: float):
        self._share = share
        self._before = 0

    def start(self) -> None:
        """Reset the peak."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            self._before = _process_bytes("VmRSS")

    def num_that_fit(self) -> int:
        """Return how many times the memory taken since the start fits into our share."""
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
    """Return the free memory of the machine, or of the container."""
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
    raise OSError(f"{file} has no line {field}")
