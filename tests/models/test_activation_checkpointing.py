"""Activations made again give the same network for less memory."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from olivine.core.errors import UserError
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.activation_checkpointing import recompute_activations
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.waffleiron import WaffleIron
from tests.support.networks import network_with_statistics

CARTESIAN = partial(Voxelizer, coordinates="cartesian")
NETWORKS = {
    "minkunet": (
        MinkUNet(stem_channels=8, planes=(8, 16, 16, 8), blocks=(2, 1, 1, 1)),
        CARTESIAN(size=(0.5, 0.5, 0.5)),
    ),
    "waffleiron": (
        WaffleIron(width=16, depth=3, drop_path=0.3),
        CARTESIAN(range_m=WaffleIron().range_m),
    ),
    "voxelnet": (
        VoxelNet(),
        CARTESIAN(size=(0.1, 0.1, 0.2), range_m=(-51.2, -51.2, -5, 51.2, 51.2, 3)),
    ),
}


def scans(voxelizer):
    generator = np.random.default_rng(0)
    clouds = [
        generator.normal(0, (8, 8, 1), (number, 3)).astype(np.float32) for number in (300, 200)
    ]
    return voxelize(voxelizer, clouds, [np.ones(len(xyz_m), np.float32) for xyz_m in clouds])


def step(net, voxels):
    """Return output, gradients, buffers and the bytes that a training step keeps."""
    kept: dict[int, int] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(5)  # of stochastic depth
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net(voxels)
    output.square().mean().backward()
    gradients = {name: weight.grad for name, weight in net.named_parameters()}
    return output.detach(), gradients, dict(net.named_buffers()), sum(kept.values())


@pytest.mark.parametrize("kind", NETWORKS)
def test_output_gradients_and_statistics_are_the_same_and_less_is_kept(kind):
    settings, voxelizer = NETWORKS[kind]
    voxels = scans(voxelizer)
    plain = network_with_statistics(settings, training=True)
    thrifty = copy.deepcopy(plain)
    recompute_activations(thrifty, kind)
    assert list(plain.state_dict()) == list(thrifty.state_dict())

    expected, found = step(plain, voxels), step(thrifty, voxels)

    assert torch.equal(expected[0], found[0])
    for one, two in zip(expected[1:3], found[1:3], strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    # What a block's hooks keep is packed by the checkpoint instead, so it is not seen here.
    assert found[3] < 0.8 * expected[3]


def test_without_gradients_nothing_is_different():
    settings, voxelizer = NETWORKS["minkunet"]
    voxels, net = scans(voxelizer), network_with_statistics(settings)
    with torch.no_grad():
        expected = net(voxels)
        recompute_activations(net, "minkunet")
        assert torch.equal(net(voxels), expected)


class Scaled(nn.Linear):
    def forward(self, rows, scale=1.0):
        return scale * super().forward(rows).relu()


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Scaled(3, 3)

    def blocks(self):
        return [self.block]

    def forward(self, rows):
        return self.block(rows, scale=rows.sum())


def test_a_block_keeps_its_named_inputs():
    rows, plain = torch.rand(4, 3), Named()
    thrifty = copy.deepcopy(plain)
    recompute_activations(thrifty, "mine")
    for one, two in zip(step(plain, rows)[:2], step(thrifty, rows)[:2], strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=0)


def test_a_network_without_blocks_is_one_sentence():
    with pytest.raises(UserError, match=r"backbone.kind=mine has no blocks"):
        recompute_activations(nn.Linear(2, 2), "mine")
