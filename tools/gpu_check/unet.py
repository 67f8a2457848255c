"""MinkUNet-34 forwards and backwards: by engine, number format and number of frames."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.models.sparse_convolution import TableGrid
from olivine.core.devices import Precision, autocast
from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import Frame
from olivine.experiments.demo_scale import DEMO_BACKBONE
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.sparse.grid import TorchGrid
from olivine.models.sparse.minkowski import MinkowskiGrid, minkowski_engine
from tools.gpu_check.keyframes import open_keyframes
from tools.gpu_check.profiling import Profile, profile
from tools.gpu_check.report import Finding, Setup, attempt, compared, left_out, measured, no_time
from tools.gpu_check.timing import milliseconds, peak_bytes

PART = "unet"
FORMATS: tuple[Precision, ...] = ("float32", "bfloat16")
LAST_FORMAT: Precision = "float16"  # of the most frames alone, on a GPU alone
NUM_FRAMES = (1, 4)
ROUNDS, WARM_UP = 3, 1
RIVAL = "table of neighbours"
RIVAL_S, LAST_S = 10.0, 4.0  # that they may take: the rival's step of one frame took 3.7 s
AGREE = 1e-4  # float32 in another order of sums, through 62 convolutions
OpenGrid = Callable[[Tensor], Any]


class CountedGrid(TorchGrid):
    """Our engine, which also counts the multiplications and additions that are not by zero."""

    def __init__(self, coordinates: Tensor):
        super().__init__(coordinates)
        self.flops = 0

    def convolve(self, features: Tensor, kernel: Tensor, source: int, target: int) -> Tensor:
        """Convolve as `TorchGrid` does."""
        found = self.kernel_map(len(kernel), source, target)
        own = found.num_targets if found.identity is not None else 0
        self.flops += 2 * (len(found.sources) + own) * kernel.shape[1] * kernel.shape[2]
        return super().convolve(features, kernel, source, target)


@dataclass(frozen=True)
class Case:
    """One way to take a step of a network on some voxels."""

    net: nn.Module
    voxels: Voxels
    engine: str
    open_grid: OpenGrid
    precision: Precision
    device: str

    def forward(self) -> Tensor:
        """Return the features; kernel maps are built anew, as in training."""
        self.net._open_grid = self.open_grid
        with autocast(torch.device(self.device), self.precision):
            return self.net(self.voxels)

    def step(self) -> None:
        """Forwards and backwards, without an optimiser."""
        self.net.zero_grad(set_to_none=True)
        self.forward().float().square().mean().backward()

    def maps(self) -> None:
        """Build the kernel maps alone."""
        grid = self.open_grid(self.voxels.coordinates)
        for level in range(self.num_levels + 1):
            grid.kernel_map(27, level, level).pieces(None)
            if level:
                grid.kernel_map(8, level - 1, level).pieces(None)

    @property
    def num_levels(self) -> int:
        """How often the network halves the resolution."""
        return len(self.net._down)


def check(setup: Setup) -> Iterator[Finding]:
    """Yield one line per case; the rival, which is slow, comes last."""
    torch.manual_seed(0)
    settings = DEMO_BACKBONE if setup.is_small else MinkUNet()
    net = settings.build(1).to(setup.device).train()
    scans = [frames.frame(0, images=False, classes=False) for frames in open_keyframes(setup)]
    grids, on_gpu = engines(), setup.device.startswith("cuda")
    batches = {num_frames: _voxels(scans, num_frames, setup) for num_frames in NUM_FRAMES}
    work: dict[int, float | None] = {}

    def found(num_frames: int, precision: Precision, engine: str) -> Finding:
        case = Case(net, batches[num_frames], engine, grids[engine], precision, setup.device)
        what = f"{_frames(num_frames)}, {precision}, {engine}"
        return attempt(PART, what, partial(_measured, case, what, work[num_frames], setup))

    ours = [engine for engine in grids if engine != RIVAL]
    for num_frames, voxels in batches.items():
        products = attempt(PART, "products", partial(_products, net, voxels, setup))
        work[num_frames] = products.numbers.get("gflop")
        yield products
        for precision, engine in itertools.product(FORMATS, ours):
            yield found(num_frames, precision, engine)
        yield attempt(PART, "the table agrees", partial(_agreement, net, voxels, setup))
    if on_gpu and setup.has_s(RIVAL_S + LAST_S):
        yield found(max(NUM_FRAMES), LAST_FORMAT, "torch")
    elif on_gpu:
        yield no_time(PART, f"{_frames(max(NUM_FRAMES))}, {LAST_FORMAT}, torch")
    if setup.has_s(RIVAL_S):
        yield found(min(NUM_FRAMES), "float32", RIVAL)
    else:
        yield no_time(PART, f"{_frames(min(NUM_FRAMES))}, float32, {RIVAL}")
    if "minkowski" not in grids:
        yield left_out(PART, "minkowski", "MinkowskiEngine is not installed here")


def _frames(number: int) -> str:
    return f"{number} frame{'s' * (number > 1)}"


def _voxels(scans: list[Frame], num_frames: int, setup: Setup) -> Voxels:
    """Return the voxels of scans in turn, each turned by another angle."""
    chosen = [scans[i % len(scans)] for i in range(num_frames)]
    turned = [_turned(frame.xyz_m, i) for i, frame in enumerate(chosen)]
    voxels = voxelize(Voxelizer(), turned, [f.intensity for f in chosen])
    return voxels.to(torch.device(setup.device))


def engines() -> dict[str, OpenGrid]:
    """Return every engine that is here, and the straightforward rival."""
    found: dict[str, OpenGrid] = {"torch": TorchGrid, RIVAL: TableGrid}
    with contextlib.suppress(UserError):
        minkowski_engine()
        found["minkowski"] = MinkowskiGrid
    return found


def _turned(xyz_m: np.ndarray, number: int) -> np.ndarray:
    """Return a scan turned by some degrees per number, so that no two are the same."""
    cos, sin = np.cos(0.3 * number), np.sin(0.3 * number)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return (xyz_m @ turn).astype(np.float32)


def _products(net: nn.Module, voxels: Voxels, setup: Setup) -> Finding:
    grids = []

    def opened(coordinates: Tensor) -> CountedGrid:
        grids.append(CountedGrid(coordinates))
        return grids[0]

    with torch.no_grad():
        Case(net, voxels, "torch", opened, "float32", setup.device).forward()
    gflop, cells = grids[0].flops / 1e9, [len(level) for level in grids[0]._cells]
    what = f"{_frames(int(voxels.coordinates[-1, 0]) + 1)}: work of a forward pass"
    figure = f"{cells[0]:,} voxels, {gflop:.1f} GFLOP in products"
    return measured(PART, what, figure, gflop=gflop, cells_by_level=cells)


def _measured(case: Case, what: str, gflop: float | None, setup: Setup) -> Finding:
    """Return times and memory; a profile, too, unless the case is one of the less worth."""
    device, few = setup.device, {"rounds": ROUNDS, "warm_up": WARM_UP}
    if setup.is_small or case.engine == RIVAL:
        few = {"rounds": 1, "warm_up": 0 if case.engine == RIVAL else 1}
    is_profiled = case.precision != LAST_FORMAT and case.engine != RIVAL
    numbers: dict[str, Any] = {"num_voxels": len(case.voxels.features), "engine": case.engine}
    numbers["maps_ms"] = None
    if issubclass(case.open_grid, TorchGrid):
        numbers["maps_ms"] = milliseconds(case.maps, device, **few)
    numbers["forward_ms"] = milliseconds(case.forward, device, **few)

    def steps() -> None:
        numbers["step_ms"] = milliseconds(case.step, device, **few)

    numbers["peak_bytes"] = peak_bytes(steps, device)
    if gflop:
        numbers["tflops"] = 3 * gflop / numbers["step_ms"]
    seen = profile(case.step, device, setup.scratch) if is_profiled else None
    if seen:
        numbers["idle_share"] = seen.idle_share(numbers["step_ms"])
        numbers["profile"] = seen.numbers()
    return measured(PART, what, _figure(numbers, seen), **numbers)


def _figure(numbers: dict[str, Any], seen: Profile | None) -> str:
    maps_ms, forward_ms, step_ms = (numbers[f"{x}_ms"] for x in ("maps", "forward", "step"))
    words = [f"{step_ms:.1f} ms: forward {forward_ms:.1f}"]
    words[0] += f" (maps {maps_ms:.1f})" if maps_ms is not None else ""
    words[0] += f", backward {step_ms - forward_ms:.1f}"
    if "tflops" in numbers:
        words.append(f"{numbers['tflops']:.3g} TFLOP/s")
    if seen:
        words.append(f"{seen.num_kernels:,} launches, {seen.num_waits()} waits")
        words.append(f"idle {100 * numbers['idle_share']:.0f} %")
    if numbers["peak_bytes"]:
        words.append(f"{numbers['peak_bytes'] / 1e9:.2f} GB")
    return "; ".join(words)


def _agreement(net: nn.Module, voxels: Voxels, setup: Setup) -> Finding:
    """Compare the rival's features with ours: it must do the same work."""
    outputs = []
    for open_grid in (TorchGrid, TableGrid):
        with torch.no_grad():
            case = Case(net, voxels, "", open_grid, "float32", setup.device)
            outputs.append(case.forward().double())
    error = float((outputs[1] - outputs[0]).norm() / outputs[0].norm())
    what = f"{_frames(int(voxels.coordinates[-1, 0]) + 1)}: the table's features against ours"
    return compared(PART, what, error, AGREE)
