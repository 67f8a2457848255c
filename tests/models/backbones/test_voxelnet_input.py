"""Voxels and settings that VoxelNet refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.voxelnet import VoxelNet
from tests.support.small_voxelnet import (
    SMALL,
    TALL,
    inputs_of,
    network,
    points_of,
    voxelizer,
    voxels,
)


def test_voxels_without_points_are_refused():
    with pytest.raises(UserError, match="without points"):
        network()(replace(voxels(), points=None))


ADVICE = (
    r"--set pretrained\.voxels\.coordinates=cartesian "
    r"--set 'pretrained\.voxels\.range_m=\[-1\.0, -0\.9, -5\.0, 0\.6, 1\.5, 3\.0\]' "
    r"--set 'pretrained\.voxels\.size=\[0\.1, 0\.1, 0\.2\]'"
)


@pytest.mark.parametrize(
    "cut",
    [
        Voxelizer(range_m=SMALL.range_m),
        Voxelizer(coordinates="cartesian", range_m=SMALL.range_m),
        Voxelizer(coordinates="cartesian", size=(0.05, 0.1, 0.2), range_m=SMALL.range_m),
    ],
)
def test_voxels_that_were_cut_otherwise_are_refused(cut):
    scan = points_of(300)
    source = voxelize(cut, [scan[:, :3]], [scan[:, 3]])
    with pytest.raises(UserError, match=f"not cut in x, y, z by voxelnet's size_m .*{ADVICE}"):
        network()(source)


@pytest.mark.parametrize("range_m", [None, (-1.0, -0.9, -5.0, 0.6, 1.5, 3.2)])
@pytest.mark.parametrize("settings", [SMALL, TALL])
def test_voxels_outside_the_range_are_refused(range_m, settings):
    scan = points_of(300)
    cut = Voxelizer(coordinates="cartesian", size=SMALL.size_m, range_m=range_m)
    source = voxelize(cut, [scan[:, :3]], [scan[:, 3]])
    with pytest.raises(UserError, match=rf"\d+ of \d+ voxels lie outside .*{ADVICE}"):
        network(settings)(source)


def test_points_on_a_voxel_s_border_are_not_mistaken_for_others():
    """Another device may round x / 0.1 to the other side of a whole number."""
    steps = np.arange(-9, 6) / 10
    xyz = np.stack([steps, steps[::-1], np.round(steps * 2, 1)], axis=1).astype(np.float32)
    source = voxelize(voxelizer(), [xyz], [np.ones(len(xyz))])
    for direction in (-np.inf, np.inf):
        moved = source.points.clone()
        moved[:, :3] = torch.from_numpy(np.nextafter(xyz, np.float32(direction)))
        moved = replace(source, points=moved)
        torch.testing.assert_close(inputs_of(network(), moved), moved.points[source.kept_point])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size_m": [0.1, 0.3, 0.2]}, r"whole voxels.*along y it goes from -51.2 to 51.2 m"),
        ({"range_m": [-51.25, -51.2, -5, 51.25, 51.2, 3]}, r"along x .* from -512.5 to 512.5"),
        ({"range_m": [-51.2, -51.2, 3, 51.2, 51.2, -5]}, "end above where it begins; z does not"),
        ({"size_m": [0.1, 0.1, 0]}, "three numbers above 0"),
        ({"size_m": [0.1, 0.1, 0.5]}, "holds 16 voxels in z and the network needs at least 25"),
        ({"spare_cells_z": 2}, "less than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        VoxelNet().override(settings)


def test_the_lowest_grid_that_is_allowed_leaves_one_cell():
    lowest = VoxelNet(range_m=(-0.4, -0.4, -3.0, 0.4, 0.4, 2.0))
    assert lowest.grid_shape[2] == 25
    assert lowest.map_shape == (1, 1, 1)
    assert network(lowest)(voxels(40, lowest)).shape[1] == 128
