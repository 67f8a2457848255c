"""The loader: frames per second by its number of processes, next to what a step takes."""

import itertools
import os
import shutil
import statistics
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import torch

from olivine.core.devices import Precision
from olivine.data.batch import Batch
from olivine.data.loader import training_batches
from olivine.data.schedule import Schedule
from tools.gpu_check.recipe_step import RecipeStep
from tools.gpu_check.report import Finding, Setup, attempt, measured, no_time
from tools.gpu_check.timing import milliseconds, wait

PART = "loading"
NUM_PROCESSES = (0, 1, 4, 16)
MORE_PROCESSES = (8, 2)  # after the steps that take their batches from the loader
BATCH_FRAMES, NUM_FRAMES = 4, 4096  # of a batch; indices, under which the keyframes take turns
WINDOW_S, SMALL_WINDOW_S = 1.5, 0.2
FORMAT: Precision = "bfloat16"
NUM_FED = 4  # steps with the loader behind them
MORE_S = 5.0  # that one more number of processes may take


def check(setup: Setup) -> Iterator[Finding]:
    """Yield a line per number of processes, and what steps take."""
    torch.manual_seed(0)
    recipe_step = RecipeStep(setup, FORMAT)
    few = {"rounds": 1, "warm_up": 1} if setup.is_small else {"rounds": 3, "warm_up": 2}
    batch = recipe_step.batch(BATCH_FRAMES)
    step_ms = milliseconds(
        lambda: recipe_step.step(lambda: batch, marked=False), setup.device, **few
    )
    taken = 1e3 * BATCH_FRAMES / step_ms
    figure = f"{step_ms:.1f} ms, so {taken:.1f} frames/s"
    what = f"a step of {BATCH_FRAMES} frames takes, {FORMAT}"
    yield measured(PART, what, figure, step_ms=step_ms, frames_per_s=taken)
    cores, shared_bytes = len(os.sched_getaffinity(0)), shutil.disk_usage("/dev/shm").total
    figure = f"{cores} cores, {shared_bytes / 1e9:.1f} GB of shared memory"
    yield measured(PART, "here are", figure, num_cores=cores, shared_bytes=shared_bytes)
    rates: dict[int, float] = {}

    def rated(num: int) -> Finding:
        finding = _rate(recipe_step, num, f"{num} processes", taken, setup)
        rates[num] = finding.numbers["frames_per_s"]
        return finding

    for num_processes in NUM_PROCESSES[:2] if setup.is_small else NUM_PROCESSES:
        yield attempt(PART, f"{num_processes} processes", partial(rated, num_processes))
    for num_processes in sorted({0, _enough(rates, taken)}):
        what = f"steps with {num_processes} processes behind them"
        yield attempt(
            PART, what, lambda n=num_processes, w=what: _fed(recipe_step, n, w, step_ms, setup)
        )
    for num_processes in () if setup.is_small else MORE_PROCESSES:
        what = f"{num_processes} processes"
        if setup.has_s(MORE_S):
            yield attempt(PART, what, partial(rated, num_processes))
        else:
            yield no_time(PART, what)


def _enough(rates: dict[int, float], taken: float) -> int:
    """Return the least number of processes beside this one that is faster than steps, if any is.

    Without one, batches are made between the steps, so that their rates say nothing of it.
    """
    beside = {num: rate for num, rate in rates.items() if num}
    fastest = max(beside, key=lambda num: beside[num], default=0)
    return min((num for num, rate in beside.items() if rate > taken), default=fastest)


def batches(recipe_step: RecipeStep, num_processes: int) -> Generator[Batch, None, None]:
    """Return the batches of a training, from the first step on."""
    schedule = Schedule(NUM_FRAMES, BATCH_FRAMES, num_epochs=100, seed=0)
    return training_batches(
        recipe_step.samples, schedule, recipe_step.config.voxels, 0, num_processes
    )


def _rate(
    recipe_step: RecipeStep, num_processes: int, what: str, taken: float, setup: Setup
) -> Finding:
    """Return frames per second, each transferred to the device and waited for."""
    device, began_s = torch.device(setup.device), time.perf_counter()
    with closing(batches(recipe_step, num_processes)) as source:
        next(source).to(device)
        wait(setup.device)
        first_s = time.perf_counter() - began_s
        # Every process has made its first batches, and what they had ready is used up.
        for _ in range(2 * num_processes):
            next(source).to(device)
        moments_s, transfers_s = [time.perf_counter()], []
        window_s = SMALL_WINDOW_S if setup.is_small else WINDOW_S
        while moments_s[-1] - moments_s[0] < window_s:
            batch = next(source)
            came_s = time.perf_counter()
            batch.to(device)
            wait(setup.device)
            moments_s.append(time.perf_counter())
            transfers_s.append(moments_s[-1] - came_s)
    num_batches = len(moments_s) - 1
    rate = BATCH_FRAMES * num_batches / (moments_s[-1] - moments_s[0])
    numbers: dict[str, Any] = {
        "num_processes": num_processes,
        "frames_per_s": rate,
        "first_batch_s": first_s,
        "transfer_ms": 1e3 * statistics.median(transfers_s),
        "num_batches": num_batches,
        "share_of_step": rate / taken,
        "is_pinned": batch.images.is_pinned(),
    }
    figure = f"{rate:.1f} frames/s, {100 * rate / taken:.0f} % of what a step takes; transfer "
    figure += f"{numbers['transfer_ms']:.1f} ms a batch, first batch after {first_s:.1f} s"
    return measured(PART, what, figure, **numbers)


def _fed(
    recipe_step: RecipeStep, num_processes: int, what: str, step_ms: float, setup: Setup
) -> Finding:
    """Return the time of steps that take their batches from the loader."""
    num_steps = 2 if setup.is_small else NUM_FED
    waited_s: list[float] = []

    def load() -> Batch:
        began_s = time.perf_counter()
        batch = next(source)
        waited_s.append(time.perf_counter() - began_s)
        return batch

    with closing(batches(recipe_step, num_processes)) as source:
        for _ in itertools.repeat(None, 2):
            recipe_step.step(load, marked=False)
        waited_s.clear()
        wait(setup.device)
        began_s = time.perf_counter()
        for _ in range(num_steps):
            recipe_step.step(load, marked=False)
        wait(setup.device)
        spent_ms = 1e3 * (time.perf_counter() - began_s) / num_steps
    waited_ms = 1e3 * sum(waited_s) / num_steps
    figure = f"{spent_ms:.1f} ms a step, {step_ms:.1f} without a loader; {waited_ms:.1f} waiting"
    return measured(
        PART, what, figure, ms=spent_ms, waited_ms=waited_ms, num_processes=num_processes
    )
