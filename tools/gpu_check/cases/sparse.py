"""Cases of sparse convolution: kernel maps, products, batch norm, and whole 3D networks."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from olivine.data.batch import Voxels
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.base import Backbone
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.voxelnet.grid import DOWN
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.models.sparse.batch_norm import RowBatchNorm
from olivine.models.sparse.convolution import MAX_TABLE_CHANNELS, convolve
from olivine.models.sparse.grid import TorchGrid
from olivine.models.sparse.kernel_maps import KernelMap, coarsen, occupied_cells, submanifold
from olivine.models.sparse.strided import strided
from tools.gpu_check.cases.comparing import (
    TF32,
    Case,
    Computed,
    Place,
    every_precision,
    gradients,
    random_rows,
    tf32_in_cudnn,
)
from tools.gpu_check.cases.made_data import CUBES, voxels_of
from tools.gpu_check.report import Setup

SMALL_UNET = MinkUNet(stem_channels=16, planes=(16, 32, 32, 32), blocks=(1, 1, 1, 1))
WAFFLE = WaffleIron(width=128, depth=3, drop_path=0.0)  # what is dropped differs by device
# A gradient of the first layer has the rounding of every layer, twice, and activations near zero
# change sides. On a CPU such errors are 0.3 in bfloat16 and 0.05 in float16; 0.5 and 0.2 with 34
# layers. Two gradients that have nothing in common differ by 1.4.
OF_GRADIENTS = {
    "gradient of the first layer": {"float32": 2e-3, "bfloat16": 0.6, "float16": 0.2},
    "gradient of the last layer": {"float32": 5e-4, "bfloat16": 0.2, "float16": 0.06},
}
SINGLE_BOUND = {"float32": 1e-4}
OF_DEEP_GRADIENTS = {
    "gradient of the first layer": {"float32": 6e-3, "bfloat16": 0.9, "float16": 0.6},
    "gradient of the last layer": {"float32": 1e-3, "bfloat16": 0.3, "float16": 0.1},
}
# Name, offsets, source level, target level, inputs, outputs.
CONVOLUTIONS = (
    ("3³", 27, 0, 0, 32, 48),
    ("5³", 125, 0, 0, 8, 16),
    ("3³ on a coarse level", 27, 2, 2, 64, 64),
    ("2³ of stride 2", 8, 0, 1, 32, 64),
    ("2³ transposed", 8, 1, 0, 64, 32),
    ("3³ by a table", 27, 0, 0, MAX_TABLE_CHANNELS, 32),
    ("5³ by a table", 125, 0, 0, 1, 32),
    ("2³ of stride 2 by a table", 8, 0, 1, 3, 16),
)


def sparse_cases(setup: Setup) -> Iterator[Case]:
    """Yield all cases of this module."""
    voxels = voxels_of(setup, CUBES)
    order = torch.randperm(len(voxels.coordinates), generator=torch.Generator().manual_seed(1))
    shuffled = voxels.coordinates[order]
    yield Case("kernel maps", partial(_maps, shuffled))
    yield Case("kernel maps of a bounded grid", partial(_bounded_maps, voxels.coordinates))
    for name, *sizes in CONVOLUTIONS:
        case = partial(_convolution, shuffled, tuple(sizes))
        yield Case(f"convolution {name}", case, every_precision())
    num_rows = 2_000 if setup.is_small else 300_000
    yield Case("batch norm of rows", partial(_norm, num_rows), every_precision())
    yield from _networks(setup, voxels)


def _maps(coordinates: Tensor, place: Place) -> Computed:
    level, found = occupied_cells(place.put(coordinates)), {}
    for number in range(4):
        for size in (3, 5):
            found |= _numbers(f"level {number}, {size}³", submanifold(level, size))
        level, down = coarsen(level)
        found |= _numbers(f"level {number}, down", down) | {f"cells {number + 1}": level.keys}
    return found


def _bounded_maps(coordinates: Tensor, place: Place) -> Computed:
    grid = VoxelNet()
    cells = occupied_cells(
        place.put(coordinates) - coordinates.new_tensor([0, *grid.first_cell]).to(place.device)
    )
    found, shape = {}, grid.grid_shape
    for number, (size, stride, padding) in enumerate(DOWN[:2]):
        cells, down = strided(cells, shape, size, stride, padding)
        found |= _numbers(f"window {number}", down) | {f"window {number}: cells": cells.keys}
        shape = tuple(-(-side // 2) for side in shape)
    return found


def _numbers(name: str, found: KernelMap) -> dict[str, Tensor]:
    counts = torch.tensor(found.counts)
    return {
        f"{name}, sources": found.sources,
        f"{name}, targets": found.targets,
        f"{name}, counts": counts,
        f"{name}, table": found.table_index,
    }


def _convolution(coordinates: Tensor, sizes: tuple[int, ...], place: Place) -> Computed:
    num_offsets, source, target, inputs, outputs = sizes
    found = TorchGrid(place.put(coordinates)).kernel_map(num_offsets, source, target)
    features = place.leaf(random_rows(found.num_sources, inputs, seed=2))
    kernel = place.leaf(random_rows(num_offsets, inputs, outputs, seed=3) / num_offsets**0.5)
    with place.autocast():
        rows = convolve(features, kernel, found)
    return {"output": rows, **gradients(rows, {"features": features, "kernel": kernel})}


def _norm(num_rows: int, place: Place) -> Computed:
    norm = RowBatchNorm(32, momentum=0.1)
    with torch.no_grad():
        norm.weight.copy_(random_rows(32, seed=4))
        norm.bias.copy_(random_rows(32, seed=5))
    norm = place.put(norm)
    rows = place.leaf(2 * random_rows(num_rows, 32, seed=6) + 1)
    with place.autocast():
        half = torch.get_autocast_dtype(place.device.type)
        given = rows.to(half) if place.precision != "float32" else rows
        trained = norm(given)
        leaves = {"rows": rows, "weight": norm.weight, "bias": norm.bias}
        of_leaves = gradients(trained, leaves)
        evaluated = norm.eval()(given)
    return {
        "output": trained,
        **of_leaves,
        "running mean": norm.running_mean,
        "running variance": norm.running_var,
        "output in evaluation": evaluated,
    }


def _networks(setup: Setup, voxels: Voxels) -> Iterator[Case]:
    """Yield whole networks, forwards and backwards in training."""
    if setup.is_small:
        voxels = voxels_of(
            setup,
            Voxelizer(coordinates="cartesian", size=(0.4, 0.4, 0.4), range_m=CUBES.range_m),
            1,
        )
    for name, backbone, shown in (
        ("MinkUNet, small", SMALL_UNET, voxels),
        ("VoxelNet", VoxelNet(), voxels_of(setup, CUBES, 1)),
    ):
        compute = partial(_network, shown, backbone)
        yield Case(name, compute, every_precision(1e-4, 2), OF_GRADIENTS)
    waffle = WAFFLE.replace(width=32 if setup.is_small else 128)
    of_tf32 = {output: {**bounds, "float32": 0.05} for output, bounds in OF_GRADIENTS.items()}
    compute = partial(_network, voxels, waffle)
    yield Case("WaffleIron, 3 layers, with TF32", compute, every_precision(TF32, 2), of_tf32)
    yield Case("WaffleIron, 3 layers", partial(_without_tf32, compute), SINGLE_BOUND, OF_GRADIENTS)
    if not setup.is_small:
        compute = partial(_network, voxels_of(setup, Voxelizer(), 1), MinkUNet())
        yield Case("MinkUNet-34, one scan", compute, every_precision(2e-4, 3), OF_DEEP_GRADIENTS)


def _without_tf32(compute: Callable[[Place], Computed], place: Place) -> Computed:
    with tf32_in_cudnn(False):
        return compute(place)


def _network(voxels: Voxels, backbone: Backbone, place: Place) -> Computed:
    torch.manual_seed(0)
    network: nn.Module = place.put(backbone.build(1)).train()
    here = place.put(voxels)
    with place.autocast():
        rows = network(here)
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    leaves = {"the first layer": weights[0], "the last layer": weights[-1]}
    state = {name: value for name, value in network.state_dict().items() if "running" in name}
    first, last = list(state.values())[:2], list(state.values())[-2:]
    return {
        "features": rows,
        **gradients(rows, leaves),
        "running statistics": torch.cat([*first, *last]),
    }
