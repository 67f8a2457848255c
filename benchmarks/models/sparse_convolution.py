"""How fast is our sparse convolution beside a straightforward one and MinkowskiEngine, if here?

    python benchmarks/models/sparse_convolution.py [--threads 1] [--data ../shared/data] \
        [--rounds 5]

Three claims: one 3³ layer on 100,000 surface voxels, MinkUNet-34 on a real scan, and the small
U-Net of the demo on four frames. Contenders take turns in one process and the best round of each
counts. One thread is measured by the processor's time, which other load on the machine does not
lengthen; more threads by the clock. The networks build their kernel maps anew each round, as in
training.
"""

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import print_ratios, seconds_of_rounds
from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.sparse.grid import TorchGrid
from olivine.models.sparse.minkowski import MinkowskiGrid, minkowski_engine

DEMO = MinkUNet(
    stem_channels=16, planes=(16, 32, 48, 48, 32, 32), blocks=(1, 1, 1, 1, 1, 1), bn_momentum=0.1
)
Contenders = dict[str, Callable[[], object]]


class TableGrid(TorchGrid):
    """The straightforward way: a (voxels, offsets) table of neighbours, gathered and multiplied."""

    def convolve(self, features: Tensor, kernel: Tensor, source: int, target: int) -> Tensor:
        """Look neighbours up in a table whose missing ones point at a row of zeros."""
        kernel_map = self.kernel_map(len(kernel), source, target)
        shape = kernel_map.num_targets, len(kernel)
        table = torch.full(shape, len(features), device=features.device).flatten()
        table[kernel_map.table_index] = kernel_map.sources
        table = table.view(shape)
        if kernel_map.identity is not None:
            table[:, kernel_map.identity] = torch.arange(len(features), device=table.device)
        padded = torch.cat([features, features.new_zeros(1, features.shape[1])])
        return padded[table].flatten(1) @ kernel.flatten(0, 1)


def surface(count: int) -> Tensor:
    """Return cells of a wavy ground, with about nine neighbours each."""
    side = int(count**0.5) + 1
    x, y = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    z = torch.floor(8 * torch.sin(x / 17) * torch.cos(y / 23)).long()
    cells = torch.stack([torch.zeros_like(x), x, y, z], dim=-1).view(-1, 4)[:count]
    voxelizer = Voxelizer(coordinates="cartesian", size=(1.0, 1.0, 1.0))
    centres, intensity = cells[:, 1:].float().numpy() + 0.5, np.zeros(len(cells), np.float32)
    return voxelize(voxelizer, [centres], [intensity]).coordinates


def engines() -> dict[str, Callable[[Tensor], Any]]:
    """Return every way to open a grid that is here."""
    found: dict[str, Callable[[Tensor], Any]] = {"ours": TorchGrid, "table": TableGrid}
    with contextlib.suppress(UserError):
        minkowski_engine()
        found["MinkowskiEngine"] = MinkowskiGrid
    return found


def report(title: str, contenders: Contenders, rounds: int) -> None:
    """Let the contenders take turns; print the milliseconds of each one's best and ratios."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds = seconds_of_rounds(rounds, contenders, clock)
    print(f"\n{title}")
    print_ratios({name: min(times) for name, times in seconds.items()}, name_width=16)


def layer(cells: Tensor, inputs: int, outputs: int, cached: bool) -> Contenders:
    """Return one 3³ layer, forward and backward, by each engine."""
    features = torch.randn(len(cells), inputs, requires_grad=True)
    kernel = torch.randn(27, inputs, outputs, requires_grad=True)
    upstream = torch.randn(len(cells), outputs)

    def contender(open_grid: Callable[[Tensor], Any]) -> Callable[[], object]:
        kept = open_grid(cells)

        def step() -> None:
            grid = kept if cached else open_grid(cells)
            grid.convolve(features, kernel, 0, 0).backward(upstream)
            features.grad = kernel.grad = None

        return step

    return {name: contender(open_grid) for name, open_grid in engines().items()}


def network(settings: MinkUNet, voxels: Voxels) -> Contenders:
    """Return a training step of a U-Net without its optimiser, by each engine."""
    net = settings.build(voxels.features.shape[1])

    def contender(open_grid: Callable[[Tensor], Any]) -> Callable[[], object]:
        def step() -> None:
            net._open_grid = open_grid
            net(voxels).square().mean().backward()
            net.zero_grad()

        return step

    return {name: contender(open_grid) for name, open_grid in engines().items()}


def scans(root: Path) -> list[np.ndarray]:
    """Return the real scans below a folder."""
    paths = sorted(root.glob("nuscenes_*/samples/LIDAR_TOP/*.pcd.bin"))
    return [np.fromfile(path, dtype=np.float32).reshape(-1, 5) for path in paths]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"{given.threads} threads, best of {given.rounds} rounds")
    cells = surface(100_000)
    for cached in (True, False):
        title = f"3x3x3, 32 to 64 channels, {len(cells)} voxels, forward and backward, "
        title += "maps kept" if cached else "with maps"
        report(title, layer(cells, 32, 64, cached), given.rounds)
    real = scans(given.data)
    if not real:
        print(f"\nno real scans below {given.data}: the networks are not measured")
        return
    one = voxelize(Voxelizer(), [real[0][:, :3]], [real[0][:, 3]])
    title = f"MinkUNet-34, one real scan, {len(one.features)} voxels, forward and backward"
    report(title, network(MinkUNet(), one), given.rounds)
    torch.set_num_threads(1)
    sparse = [scan[::3] for scan in real * 2]
    four = voxelize(Voxelizer(), [s[:, :3] for s in sparse], [s[:, 3] for s in sparse])
    title = f"The demo's U-Net, 4 frames, {len(four.features)} voxels, 1 thread"
    report(title, network(DEMO, four), given.rounds)


if __name__ == "__main__":
    main()
