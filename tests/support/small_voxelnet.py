"""A small VoxelNet, and random points cut into its voxels."""

import numpy as np
import torch

from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.voxelnet import VoxelNet
from tests.support.networks import network_with_statistics

# 16 x 24 x 40 voxels that do not begin at a multiple of the map's cells
SMALL = VoxelNet(range_m=(-1.0, -0.9, -5.0, 0.6, 1.5, 3.0))
TALL = SMALL.override({"spare_cells_z": 1})  # two cells left in z


def points_of(count, settings=SMALL, seed=0, reach=1.2):
    """Return x, y, z and intensity, some of them beyond the range, many sharing a voxel."""
    generator = np.random.default_rng(seed)
    low, high = np.array(settings.range_m).reshape(2, 3)
    xyz = (low + high) / 2 + (high - low) / 2 * reach * generator.uniform(-1, 1, (count, 3))
    xyz[: count // 4] = xyz[count // 4] + generator.normal(0, 0.05, (count // 4, 3))
    return np.column_stack([xyz, generator.uniform(0, 255, count)]).astype(np.float32)


def voxelizer(settings=SMALL):
    return Voxelizer(coordinates="cartesian", size=settings.size_m, range_m=settings.range_m)


def voxels(count=300, settings=SMALL, *, frames=2, every_point=False, reach=1.2):
    scans = [points_of(count, settings, frame, reach) for frame in range(frames)]
    return voxelize(
        voxelizer(settings),
        [scan[:, :3] for scan in scans],
        [scan[:, 3] for scan in scans],
        every_point,
    )


def network(settings=SMALL, training=False):
    return network_with_statistics(settings, training)


def means(source, settings=SMALL):
    """Return each voxel's mean point, by a loop."""
    rows = [[] for _ in source.coordinates]
    low, high = np.array(settings.range_m).reshape(2, 3)
    for point, row in zip(source.points, source.voxel_of_point.tolist(), strict=True):
        if row >= 0 and (low <= point[:3].numpy()).all() and (point[:3].numpy() < high).all():
            rows[row].append(point)
    return torch.stack([torch.stack(points).mean(dim=0) for points in rows])


def inputs_of(net, source):
    """Return what the network's first layer is given."""
    seen = []
    hook = net.conv_input.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(source)
    hook.remove()
    return seen[0]
