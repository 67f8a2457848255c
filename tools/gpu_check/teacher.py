"""The image networks that teach: images per second, and the share of what the card can do."""

import copy
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models.teacher import Plain, network
from olivine.core.devices import tf32_products
from olivine.models.foundation.image_input import ImageNetwork
from olivine.models.foundation.published_sizes import TRANSFORMERS
from olivine.models.teachers.base import rounded_once
from tools.gpu_check.profiling import profile
from tools.gpu_check.report import Finding, Setup, attempt, failed, left_out, measured, no_time
from tools.gpu_check.timing import milliseconds, peak_bytes, product_tflops

PART = "teacher"
NETWORKS = ("resnet50", "dinov2_vits14")
FORMATS = (torch.float32, torch.bfloat16, torch.float16)
NUM_IMAGES = (24, 6)  # of four frames, and of one
WAY_S = 3.0  # that one more way may take
SIZE_PX, SMALL_PX = (224, 416), (28, 56)
PEAK_SIZE = 8192
FEW = {"rounds": 4, "warm_up": 1}


@dataclass(frozen=True)
class Way:
    """One way to call a network."""

    name: str
    make: Callable[[], nn.Module]
    context: Callable[[], AbstractContextManager] = nullcontext
    peak: str = ""  # the products to compare with; empty: of its number format
    num_images: tuple[int, ...] = NUM_IMAGES[:1]
    is_profiled: bool = False


def check(setup: Setup) -> Iterator[Finding]:
    """Yield a line per network, number format, way and number of images."""
    peaks = _peaks(setup)
    shown = ", ".join(f"{name} {rate:.1f}" for name, rate in peaks.items())
    yield measured(PART, "products that shares refer to", f"{shown} TFLOP/s", **peaks)
    limits: dict[str, Limits] = {}
    for name in NETWORKS:
        if name in TRANSFORMERS and importlib.util.find_spec("timm") is None:
            yield left_out(PART, name, "timm is not installed here")
            continue
        try:
            gflop = flops_of_an_image(name, setup) / 1e9
        except Exception as error:
            yield left_out(PART, f"{name}: share of the peak", f"no count of its work ({error})")
            gflop = 0.0
        limits[name] = Limits(gflop, peaks, setup)
    every = [(n, d, way) for n in limits for d in formats(setup) for way in ways(n, d, setup)]
    for name, dtype, way in sorted(every, key=lambda case: case[2].name != "ours"):
        if way.name == "ours" or setup.has_s(WAY_S):
            yield from _called(name, dtype, way, limits[name])
        else:
            yield no_time(PART, f"{name}, {_short(dtype)}, {way.name}")


@dataclass(frozen=True)
class Limits:
    """What a time is compared with, and where."""

    gflop: float  # of an image; 0: not known
    peaks: dict[str, float]  # TFLOP/s by number format
    setup: Setup


def ways(name: str, dtype: torch.dtype, setup: Setup) -> list[Way]:
    """Return how the network may be called in a number format, ours first."""

    def ours() -> nn.Module:
        return rounded_once(_network(name, dtype), dtype).to(setup.device)

    on_gpu, is_single = setup.device.startswith("cuda"), dtype == torch.float32
    rounded = "TF32" if on_gpu and is_single and name == "resnet50" else ""
    both = NUM_IMAGES if dtype != torch.float16 else NUM_IMAGES[:1]
    found = [Way("ours", ours, peak=rounded, num_images=both, is_profiled=True)]
    if name == "resnet50" and dtype != torch.float16:
        first = Way("channels first", lambda: Plain(name, dtype).to(setup.device), peak=rounded)
        found.append(first)
    if on_gpu and name == "resnet50" and dtype == torch.bfloat16:  # seconds for each size
        search = partial(_cudnn, benchmark=True)
        found.append(Way("cuDNN's search", ours, search))
    if on_gpu and name == "resnet50" and is_single:
        found.append(Way("without TF32", ours, partial(_cudnn, allow_tf32=False)))
    if on_gpu and not is_single:
        again = Way("weights rounded at every call", lambda: _network(name, dtype).to(setup.device))
        found.append(replace(again, num_images=both, is_profiled=dtype == torch.bfloat16))
    return found


@contextmanager
def _cudnn(*, benchmark: bool = False, allow_tf32: bool = True) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32 = benchmark, allow_tf32
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before


def _called(name: str, dtype: torch.dtype, way: Way, limits: Limits) -> Iterator[Finding]:
    """Yield a line for each number of images."""
    short, setup = _short(dtype), limits.setup
    try:
        module = way.make()
    except Exception as error:
        yield failed(PART, f"{name}, {short}, {way.name}", f"it cannot be made: {error}")
        return
    for num_images in (1,) if setup.is_small else way.num_images:
        what = f"{name}, {num_images} images, {short}, {way.name}"
        images, peak = pictures(name, num_images, setup), limits.peaks[way.peak or short]

        def found(images: Tensor = images, what: str = what, peak: float = peak) -> Finding:
            with way.context():
                return _measured(partial(module, images), what, peak, limits, way.is_profiled)

        yield attempt(PART, what, found)


def _network(name: str, dtype: torch.dtype) -> ImageNetwork:
    """Return a copy of a network: to draw its weights anew takes longer than to measure it."""
    made = copy.deepcopy(_drawn(name))
    made.dtype = dtype
    return made


@cache
def _drawn(name: str) -> ImageNetwork:
    return network(name, torch.float32)


def _measured(
    forward: Callable[[], Tensor], what: str, peak: float, limits: Limits, is_profiled: bool
) -> Finding:
    setup, few = limits.setup, {"rounds": 1, "warm_up": 1} if limits.setup.is_small else FEW

    def call() -> int:
        with torch.no_grad():
            return len(forward())

    num_images = call()
    numbers: dict[str, Any] = {}

    def calls() -> None:
        numbers["ms"] = milliseconds(call, setup.device, **few)

    numbers["peak_bytes"] = peak_bytes(calls, setup.device)
    spent_ms = numbers["ms"]
    rate = numbers["images_per_s"] = num_images / spent_ms * 1e3
    figure = f"{spent_ms:.2f} ms, {rate:,.0f} images/s"
    if limits.gflop:
        tflops = limits.gflop * num_images / spent_ms
        numbers |= {"gflop_per_image": limits.gflop, "tflops": tflops}
        numbers["share_of_peak"] = tflops / peak
        figure += f", {tflops:.3g} TFLOP/s: {100 * tflops / peak:.0f} % of the peak"
    if numbers["peak_bytes"]:
        figure += f"; {numbers['peak_bytes'] / 1e9:.2f} GB"
    seen = profile(call, setup.device, setup.scratch) if is_profiled else None
    if seen:
        idle = seen.idle_share(spent_ms)
        numbers |= {"idle_share": idle, "profile": seen.numbers()}
        figure += f"; {seen.num_kernels} launches, idle {100 * idle:.0f} %"
    return measured(PART, what, figure, **numbers)


def pictures(name: str, num_images: int, setup: Setup) -> Tensor:
    """Return random images as a batch has them, of whole patches of the network."""
    patch_px = TRANSFORMERS[name].patch_px if name in TRANSFORMERS else 1
    sides = SMALL_PX if setup.is_small else SIZE_PX
    rows, columns = (side // patch_px * patch_px for side in sides)
    generator = torch.Generator().manual_seed(0)
    size = (num_images, rows, columns, 3)
    images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    return images.permute(0, 3, 1, 2).to(setup.device)


def flops_of_an_image(name: str, setup: Setup) -> int:
    """Return the multiplications and additions for one image, each counted."""
    module, images = _network(name, torch.float32).to(setup.device), pictures(name, 1, setup)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)
    return counter.get_total_flops()


def formats(setup: Setup) -> tuple[torch.dtype, ...]:
    """Return the number formats; a CPU takes seconds for a small product in float16."""
    return FORMATS if setup.device.startswith("cuda") else FORMATS[:2]


def _peaks(setup: Setup) -> dict[str, float]:
    """Return the rate of a large product in each number format, in TFLOP/s.

    Convolutions in float32 may round to TF32 by torch's default, products do not.
    """
    size = 256 if setup.is_small else PEAK_SIZE
    peaks = {_short(d): product_tflops(d, setup.device, size) for d in formats(setup)}
    if setup.device.startswith("cuda"):
        with tf32_products(allowed=True):
            peaks["TF32"] = product_tflops(torch.float32, setup.device, size)
    return peaks


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
