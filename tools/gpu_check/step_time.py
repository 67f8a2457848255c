"""The whole step of the recipe `olivine`: time by part, idle share, launches, waits, memory."""

import gc
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.training.marked_step import PARTS
from olivine.core.devices import Precision
from olivine.data.batch import Batch
from tools.gpu_check.profiling import Profile, profile, waits_by_line
from tools.gpu_check.recipe_step import RecipeStep
from tools.gpu_check.report import Finding, Setup, attempt, failed, left_out, measured, no_time
from tools.gpu_check.timing import milliseconds, peak_bytes, wait

PART = "step_time"
FORMATS: tuple[Precision, ...] = ("float32", "bfloat16")
NUM_FRAMES = (4, 1)  # the recipe's own first; each by part and with a profile
MORE_FRAMES = (8, 2)  # time and memory alone
ROUNDS, WARM_UP = 3, 1
MARKED_ROUNDS = 2
PROFILE_S, MORE_S, LAST_S = 8.0, 4.0, 15.0  # that they may take; the last: all of a last format
NUM_WAITS = 5  # shown; the file has more


def check(setup: Setup) -> Iterator[Finding]:
    """Yield lines of each number format and number of frames, those of most worth first."""
    for precision in FORMATS:
        yield from _of_format(precision, setup)
        gc.collect()  # a step's hooks know it: without this its memory would be counted again
    if not setup.device.startswith("cuda"):
        yield left_out(PART, "idle share, launches, waits, kernels", "they are a GPU's")


def _of_format(precision: Precision, setup: Setup) -> Iterator[Finding]:
    torch.manual_seed(0)
    recipe_step = RecipeStep(setup, precision)
    after_s = LAST_S if precision != FORMATS[-1] else 0.0  # kept for the formats that follow
    for num_frames in NUM_FRAMES:
        batch = recipe_step.batch(num_frames)
        name = f"{precision}, {_frames(num_frames)}"
        measure = partial(_measured, recipe_step, batch, name, setup)
        finding = attempt(PART, name, measure)
        yield finding
        is_first = num_frames == NUM_FRAMES[0]
        if not setup.device.startswith("cuda"):
            continue
        if is_first or setup.has_s(PROFILE_S + after_s):
            yield from _profiled(recipe_step, batch, finding, setup)
        else:
            yield no_time(PART, f"{name}: device")
    for num_frames in () if setup.is_small else MORE_FRAMES:
        name = f"{precision}, {_frames(num_frames)}"
        if setup.has_s(MORE_S + after_s):
            batch = recipe_step.batch(num_frames)
            make = partial(_measured, recipe_step, batch, name, setup, by_part=False)
            yield attempt(PART, name, make)
        else:
            yield no_time(PART, name)


def _frames(number: int) -> str:
    return f"{number} frame{'s' * (number > 1)}"


def _measured(
    recipe_step: RecipeStep, batch: Batch, name: str, setup: Setup, by_part: bool = True
) -> Finding:
    """Return the time and memory of the trainer's step alone, and then its time by part."""
    step, device = recipe_step.step, setup.device
    few = {"rounds": 1, "warm_up": 1} if setup.is_small else {"rounds": ROUNDS, "warm_up": WARM_UP}
    numbers: dict[str, Any] = {
        "num_frames": len(batch.tokens),
        "num_voxels": len(batch.voxels.features),
        "num_pairs": len(batch.pairs),
        "num_images": len(batch.images),
    }

    def steps() -> None:
        numbers["wall_ms"] = milliseconds(lambda: step(lambda: batch, marked=False), device, **few)

    numbers["peak_bytes"] = peak_bytes(steps, device)
    figure = f"{numbers['wall_ms']:.1f} ms"
    if by_part:
        numbers |= _by_part(recipe_step, batch, 1 if setup.is_small else MARKED_ROUNDS)
        ordered = _longest_first(numbers["parts_ms"])
        figure += ": " + ", ".join(f"{part} {ms:.1f}" for part, ms in ordered)
    if numbers["peak_bytes"]:
        figure += f"; {numbers['peak_bytes'] / 1e9:.1f} GB"
    return measured(PART, name, figure, **numbers)


def _by_part(recipe_step: RecipeStep, batch: Batch, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a step's parts, on the device and in this process."""
    step = recipe_step.step
    on_device: list[dict[str, float]] = []
    on_host: list[dict[str, float]] = []
    for _ in range(rounds):
        step(lambda: batch)
        on_device.append(step.account.seconds)
        on_host.append(step.account.host_seconds)
    parts_ms = _medians(on_device)
    parts_ms["transfer"] = parts_ms.pop("loading")  # the batch is there: what is left of loading
    return {"parts_ms": parts_ms, "parts_host_ms": _medians(on_host)}


def _profiled(
    recipe_step: RecipeStep, batch: Batch, timed: Finding, setup: Setup
) -> Iterator[Finding]:
    """Yield what the profiler saw of a step, who waits, and for how long.

    Which lines wait does not depend on format and frames: they are named once.
    """

    def call() -> None:
        recipe_step.step(lambda: batch, marked=False)

    is_first = timed.what == f"{FORMATS[0]}, {_frames(NUM_FRAMES[0])}"
    if is_first:
        what = f"{timed.what}: lines"
        yield attempt(PART, what, lambda: _lines(call, what, setup))
    try:
        seen = profile(call, setup.device, setup.scratch, with_stack=is_first)
    except Exception as error:
        yield failed(PART, f"{timed.what}: device", f"{type(error).__name__}: {error}")
        return
    if seen is None:
        yield left_out(PART, f"{timed.what}: device", "the profiler saw no kernel here")
        return
    wall_ms = timed.numbers.get("wall_ms", seen.window_ms)
    yield _device(seen, wall_ms, f"{timed.what}: device")
    if is_first:
        yield _functions(seen, f"{timed.what}: waits by function")


def _device(seen: Profile, wall_ms: float, what: str) -> Finding:
    idle = seen.idle_share(wall_ms)
    kernels = ", ".join(f"{_plain(k['name'])} {k['ms']:.1f} ms" for k in seen.kernels[:3])
    figure = f"idle {100 * idle:.0f} % of {wall_ms:.1f} ms; {seen.num_kernels:,} launches, "
    figure += f"{seen.num_waits()} waits; longest: {kernels}"
    return measured(PART, what, figure, wall_ms=wall_ms, idle_share=idle, profile=seen.numbers())


def _lines(call: Any, what: str, setup: Setup) -> Finding:
    """Return which lines of the library make the process wait, as torch warns of them."""
    rows = waits_by_line(call, setup.device)
    wait(setup.device)
    shown = "; ".join(f"{row['line']} {row['count']}x" for row in rows[:NUM_WAITS])
    return measured(PART, what, f"they wait: {shown or 'none'}", lines=rows)


def _functions(seen: Profile, what: str) -> Finding:
    """Return the time that functions of the library wait, of a profile with its stacks."""
    shown = "; ".join(
        f"{row['operation'].split(' > ')[-1]} in {row['function'].split(' > ')[-1]} "
        f"{row['count']}x {row['ms']:.1f} ms"
        for row in seen.waits[:NUM_WAITS]
    )
    return measured(PART, what, shown or "none", waits=seen.waits)


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return milliseconds by part, of the middle round by its sum."""
    chosen = sorted(rounds, key=lambda r: sum(r.values()))[(len(rounds) - 1) // 2]
    return {part: 1e3 * chosen[part] for part in PARTS}


def _longest_first(parts_ms: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(parts_ms.items(), key=lambda item: -item[1])


def _plain(kernel: str) -> str:
    """Return a kernel's name without its namespaces, types and arguments."""
    name = kernel.removeprefix("void ").split("<")[0].split("(")[0]
    return name.split("::")[-1][:40]
