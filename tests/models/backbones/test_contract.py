"""Every backbone keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.base import Backbone
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.testing import check_backbone

RANGE_M = (-9.6, -9.6, -3.0, 9.6, 9.6, 3.0)
SIZE_M = (0.3, 0.3, 0.2)
BACKBONES = (
    MinkUNet(stem_channels=8, planes=(8, 16, 16, 8), blocks=(1, 1, 1, 1)),
    VoxelNet(range_m=RANGE_M, size_m=SIZE_M),
    WaffleIron(
        width=8, depth=3, num_neighbours=5, range_m=RANGE_M, grids=((7, 6), (7, 3), (6, 3)),
        drop_path=0.0,
    ),
)  # fmt: skip

VOXELIZER = Voxelizer(coordinates="cartesian", size=SIZE_M, range_m=RANGE_M)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.kind)
def test_a_backbone_keeps_its_promises(backbone: Backbone) -> None:
    check_backbone(backbone, voxelizer=VOXELIZER)


def test_every_kind_is_among_them() -> None:
    assert {backbone.kind for backbone in BACKBONES} == set(Backbone.built_in)
