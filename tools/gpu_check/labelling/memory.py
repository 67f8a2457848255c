"""Batches that do not fit into the memory, and a batch whose size is measured."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from olivine.labels.batches import MAX_IMAGES
from tools.gpu_check.labelling.rates import Bench, maps_of
from tools.gpu_check.report import FAILED, PASSED, Finding

GIB = 2**30


def short_memory(bench: Bench) -> Iterator[Finding]:
    """Yield what becomes of a batch that does not fit, and of one whose size is measured."""
    if bench.setup.device.startswith("cuda"):
        yield from _on_gpu(bench)
    else:
        yield from _on_cpu(bench)


def _on_gpu(bench: Bench) -> Iterator[Finding]:
    """Allow memory between what half of the largest batch takes and what all of it takes."""
    most = max(bench.batches)
    _, total = torch.cuda.mem_get_info()
    expected, half_held, half_taken = _run(bench, most // 2)
    _, _, whole_taken = _run(bench, most)
    # What is held beyond what is taken is given back when memory is short, but for some pieces.
    least = half_held if half_held < whole_taken else half_taken
    allowed = (least + whole_taken) // 2
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    try:
        yield _halved(bench, expected, None, f"{allowed / GIB:.1f} GiB allowed")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    job = bench.job(0, gpu_share=allowed / total)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    maps_of(job(bench.images))
    peak = torch.cuda.max_memory_allocated()
    yield _measured_size(
        bench,
        job.size,
        peak <= allowed,
        f"peak {peak / GIB:.1f} GiB of {allowed / GIB:.1f} allowed",
    )


def _on_cpu(bench: Bench) -> Iterator[Finding]:
    """Raise torch's own error above half of the largest batch: there is no limit to set here."""
    most = max(bench.batches)

    def small_room(images: list[np.ndarray], names: list[str]) -> Any:
        if len(images) > most // 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return bench.labeller(images, names)

    expected, _, _ = _run(bench, most // 2)
    yield _halved(bench, expected, small_room, "by an error raised for it")
    job = bench.job(0)
    maps_of(job(bench.images))
    yield _measured_size(bench, job.size, True, "of the machine's free memory")


def _run(bench: Bench, size: int) -> tuple[list[np.ndarray], int, int]:
    """Return the maps by batches of a size, and the bytes held and allocated at most."""
    job = bench.job(size)
    is_gpu = bench.setup.device.startswith("cuda")
    if is_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    maps = maps_of(job(bench.images))
    if job.size != size:
        raise RuntimeError(f"{size} images at once do not fit without a limit either")
    if not is_gpu:
        return maps, 0, 0
    return maps, torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()


def _halved(bench: Bench, expected: list[np.ndarray], network: Any, how: str) -> Finding:
    most = max(bench.batches)
    job = bench.job(most, network)
    maps = maps_of(job(bench.images))
    differing = sum(int((ours != other).sum()) for ours, other in zip(maps, expected, strict=True))
    num_pixels = sum(ids.size for ids in expected)
    is_right = job.size == most // 2 and not differing
    return Finding(
        "labelling",
        f"{bench.name}: {most} images that do not fit ({how})",
        f"labelled {job.size} at once, {differing} of {num_pixels} pixels differ from "
        f"{most // 2} at once without a limit",
        PASSED if is_right else FAILED,
        {"size": job.size, "differing_pixels": differing, "pixels": num_pixels},
    )


def _measured_size(bench: Bench, size: int, fits: bool, how: str) -> Finding:
    return Finding(
        "labelling",
        f"{bench.name}: a batch's size measured by the first image",
        f"{size} images, {how}",
        PASSED if fits and 1 <= size <= MAX_IMAGES else FAILED,
        {"size": size},
    )
