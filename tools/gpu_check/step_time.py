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
from tools.gpu_check.report import Finding, Setup, attempt, left_out, measured
from tools.gpu_check.timing import milliseconds, peak_bytes, wait

PART = "step_time"
FORMATS: tuple[Precision, ...] = ("float32", "bfloat16")
NUM_FRAMES = (4, 1, 2, 8)  # the recipe's own first
PROFILED = (4, 1)
ROUNDS, WARM_UP = 3, 1
NUM_WAITS = 5  # shown; the file has more


def check(setup: Setup) -> Iterator[Finding]:
    """Yield lines of each number of frames and number format."""
    for precision in FORMATS:
        yield from _of_format(precision, setup)
        gc.collect()  # a step's hooks know it: without this its memory would be counted again
    if not setup.device.startswith("cuda"):
        yield left_out(PART, "idle share, launches, waits, kernels", "they are a GPU's")


def _of_format(precision: Precision, setup: Setup) -> Iterator[Finding]:
    torch.manual_seed(0)
    recipe_step = RecipeStep(setup, precision)
    for num_frames in NUM_FRAMES[:2] if setup.is_small else NUM_FRAMES:
        batch = recipe_step.batch(num_frames)
        name = f"{precision}, {num_frames} frame{'s' * (num_frames > 1)}"
        yield attempt(PART, name, partial(_measured, recipe_step, batch, name, setup))
        if num_frames in PROFILED:
            yield from _profiled(recipe_step, batch, name, setup)


def _measured(recipe_step: RecipeStep, batch: Batch, name: str, setup: Setup) -> Finding:
    """Return the time of the trainer's step alone, and then by part."""
    step, device = recipe_step.step, setup.device
    few = {"rounds": 1, "warm_up": 1} if setup.is_small else {"rounds": ROUNDS, "warm_up": WARM_UP}
    wall_ms = milliseconds(lambda: step(lambda: batch, marked=False), device, **few)
    by_part: list[dict[str, float]] = []
    by_part_host: list[dict[str, float]] = []
    for _ in range(few["rounds"]):
        step(lambda: batch)
        by_part.append(step.account.seconds)
        by_part_host.append(step.account.host_seconds)
    parts_ms, host_ms = _medians(by_part), _medians(by_part_host)
    parts_ms["transfer"] = parts_ms.pop("loading")  # the batch is there: what is left of loading
    numbers: dict[str, Any] = {
        "wall_ms": wall_ms,
        "parts_ms": parts_ms,
        "parts_host_ms": host_ms,
        "peak_bytes": peak_bytes(lambda: step(lambda: batch, marked=False), device),
        "num_frames": len(batch.tokens),
        "num_voxels": len(batch.voxels.features),
        "num_pairs": len(batch.pairs),
        "num_images": len(batch.images),
    }
    words = ", ".join(f"{part} {ms:.1f}" for part, ms in _longest_first(parts_ms))
    figure = f"{wall_ms:.1f} ms: {words}"
    if numbers["peak_bytes"]:
        figure += f"; {numbers['peak_bytes'] / 1e9:.1f} GB"
    return measured(PART, name, figure, **numbers)


def _profiled(recipe_step: RecipeStep, batch: Batch, name: str, setup: Setup) -> Iterator[Finding]:
    """Yield what the profiler saw of a step, who waits, and for how long."""
    if not setup.device.startswith("cuda"):
        return

    def call() -> None:
        recipe_step.step(lambda: batch, marked=False)

    yield attempt(PART, f"{name}: device", lambda: _device(call, f"{name}: device", setup))
    yield attempt(PART, f"{name}: lines", lambda: _lines(call, f"{name}: lines", setup))
    if recipe_step.config.precision == FORMATS[0] and len(batch.tokens) == PROFILED[0]:
        what = f"{name}: waits by function"
        yield attempt(PART, what, lambda: _functions(call, what, setup))


def _device(call: Any, what: str, setup: Setup) -> Finding:
    wall_ms = milliseconds(call, setup.device, rounds=2, warm_up=0)
    seen = profile(call, setup.device, setup.scratch)
    if seen is None:
        return left_out(PART, what, "the profiler saw no kernel here")
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


def _functions(call: Any, what: str, setup: Setup) -> Finding:
    """Return the time that functions of the library wait, by a profile with its stacks."""
    seen: Profile | None = profile(call, setup.device, setup.scratch, with_stack=True)
    if seen is None:
        return left_out(PART, what, "the profiler saw no kernel here")
    shown = "; ".join(
        f"{row['operation'].split(' > ')[-1]} in {row['function'].split(' > ')[-1]} "
        f"{row['count']}x {row['ms']:.1f} ms"
        for row in seen.waits[:NUM_WAITS]
    )
    return measured(PART, what, shown, profile=seen.numbers())


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return milliseconds by part, of the middle round by its sum."""
    chosen = sorted(rounds, key=lambda r: sum(r.values()))[len(rounds) // 2]
    return {part: 1e3 * chosen[part] for part in PARTS}


def _longest_first(parts_ms: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(parts_ms.items(), key=lambda item: -item[1])


def _plain(kernel: str) -> str:
    """Return a kernel's name without its namespaces, types and arguments."""
    name = kernel.removeprefix("void ").split("<")[0].split("(")[0]
    return name.split("::")[-1][:40]
