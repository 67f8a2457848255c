"""Time of a call on a device."""

import statistics
import time
from collections.abc import Callable

import torch


def milliseconds(
    call: Callable[[], object], device: str, rounds: int = 10, warm_up: int = 3
) -> float:
    """Return the median of a call's rounds, with all that it started on the device done."""
    for _ in range(warm_up):
        call()
    spent = []
    for _ in range(rounds):
        wait(device)
        began_s = time.perf_counter()
        call()
        wait(device)
        spent.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(spent)


def wait(device: str) -> None:
    """Return when the device has done all its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def product_tflops(dtype: torch.dtype, device: str, size: int = 8192) -> float:
    """Return the rate of a product of two square matrices: what the card reaches at most."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / milliseconds(lambda: left @ right, device, rounds=5) / 1e9


def peak_bytes(call: Callable[[], object], device: str) -> int | None:
    """Return the most memory that tensors had on a GPU during a call; None on a CPU."""
    if not device.startswith("cuda"):
        call()
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()
