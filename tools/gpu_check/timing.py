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
