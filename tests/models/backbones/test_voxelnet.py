"""The oracle is the same network on dense volumes, by torch's own layers in float64."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from olivine.data.batch import Voxels
from olivine.data.geometry.cell_keys import unpack
from olivine.data.geometry.voxelization import voxelize
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.voxelnet.network import INPUTS, read_bilinear
from olivine.models.sparse.kernel_maps import occupied_cells
from olivine.models.sparse.strided import output_shape
from olivine.models.weights import load_into
from tests.support.networks import num_parameters
from tests.support.small_voxelnet import (
    SMALL,
    TALL,
    inputs_of,
    means,
    network,
    voxelizer,
    voxels,
)

LAYERS = {
    "conv_input": (4, 16),
    "conv1.0": (16, 16),
    **{f"conv2.{i}": (32 if i else 16, 32) for i in range(3)},
    **{f"conv3.{i}": (64 if i else 32, 64) for i in range(3)},
    **{f"conv4.{i}": (64, 64) for i in range(3)},
    "conv_out": (64, 128),
}


def double(source):
    return replace(source, points=source.points.double())


def take(source, rows):
    """Return some voxels, in another order."""
    new_row = torch.full((len(source.coordinates),), -1)
    new_row[rows] = torch.arange(len(rows))
    row = torch.where(source.voxel_of_point < 0, -1, new_row[source.voxel_of_point])
    return Voxels(
        source.coordinates[rows],
        source.features[rows],
        row,
        source.kept_point[rows],
        source.points,
    )


def dense_block(block, volume, occupied, stride, padding):
    """Return a block's output on dense volumes, zero where no cell is occupied, and those cells."""
    convolution, norm = block
    weight = convolution.weight.permute(0, 4, 1, 2, 3)
    volume = F.conv3d(volume, weight, stride=stride, padding=padding)
    if stride != 1:
        ones = torch.ones(1, 1, *weight.shape[2:], dtype=volume.dtype)
        occupied = (F.conv3d(occupied, ones, stride=stride, padding=padding) > 0).double()
    statistics = norm.running_mean, norm.running_var, norm.weight, norm.bias
    volume = F.batch_norm(volume, *statistics, eps=1e-3).relu() * occupied
    return volume, occupied


def dense_map(net, settings, source):
    """Return the network's map (frames, channels * z, y, x) and its occupied cells."""
    frame, x, y, z = (source.coordinates - torch.tensor([0, *settings.first_cell])).long().unbind(1)
    shape = tuple(reversed(settings.grid_shape))
    frames = int(frame.max()) + 1
    volume = torch.zeros(frames, *shape, INPUTS, dtype=torch.float64)
    volume[frame, z, y, x] = means(source, settings).double()
    occupied = torch.zeros(frames, 1, *shape, dtype=torch.float64)
    occupied[frame, 0, z, y, x] = 1
    volume = volume.permute(0, 4, 1, 2, 3)
    for name in LAYERS:
        stride, padding = {
            "conv2.0": (2, 1),
            "conv3.0": (2, 1),
            "conv4.0": (2, (0, 1, 1)),
            "conv_out": ((2, 1, 1), 0),
        }.get(name, (1, 1))
        volume, occupied = dense_block(net.get_submodule(name), volume, occupied, stride, padding)
    return volume.flatten(1, 2), occupied


def read_dense(volume, settings, source):
    """Return each voxel's row, read from a dense map at its kept point by torch's own sampling."""
    point = source.points[source.kept_point]
    frame = source.coordinates[:, 0]
    cell = [
        (point[:, i] - settings.range_m[i]) / settings.size_m[i] / 8 for i in (0, 1)
    ]  # 0 lies on the centre of torch's first pixel
    columns, rows = volume.shape[3], volume.shape[2]
    place = torch.stack([2 * cell[0] / (columns - 1) - 1, 2 * cell[1] / (rows - 1) - 1], dim=1)
    return torch.cat(
        [
            F.grid_sample(volume[f : f + 1], at[None, None, None], "bilinear", "border", True)
            for f, at in zip(frame.tolist(), place.to(volume.dtype), strict=True)
        ]
    )[:, :, 0, 0]


@pytest.mark.parametrize("settings", [SMALL, TALL])
def test_the_network_equals_dense_layers(settings):
    net, source = network(settings).double(), double(voxels(settings=settings))
    volume, _ = dense_map(net, settings, source)
    assert volume.shape[1] == settings.num_channels
    output, expected = net(source), read_dense(volume, settings, source)
    assert expected.std() > 0.01
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-9)
    weights = torch.randn(output.shape, dtype=torch.float64)
    ours = torch.autograd.grad((output * weights).sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * weights).sum(), list(net.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)


def test_a_nuscenes_scan_gives_128_by_128_cells_as_in_the_released_codes():
    settings = VoxelNet()
    assert settings.grid_shape == (1024, 1024, 40)
    assert settings.first_cell == (-512, -512, -25)
    assert settings.map_shape == (128, 128, 1)
    assert settings.num_channels == 128
    source = voxels(60, settings, frames=1, reach=1)
    cells = source.coordinates - torch.tensor([0, *settings.first_cell])
    sites, _ = network(settings).encode(occupied_cells(cells), torch.ones(len(cells), INPUTS))
    occupied = {tuple(cell) for cell in cells[:, 1:].tolist()}
    shape = settings.grid_shape
    for window in [((3, 3, 3), (2, 2, 2), (1, 1, p)) for p in (1, 1, 0)] + [
        ((1, 1, 3), (1, 1, 2), (0, 0, 0))
    ]:
        shape = output_shape(shape, *window)
        occupied = seen_by(occupied, shape, *window)
    assert {tuple(cell) for cell in unpack(sites.keys)[:, 1:].tolist()} == occupied
    assert len(sites) == len(occupied)


def seen_by(occupied, shape, size, stride, padding):
    """Return the output cells of occupied ones, by the definition."""
    reached = set()
    for cell in occupied:
        for k in itertools.product(*(range(n) for n in size)):
            moved = [cell[i] + padding[i] - k[i] for i in range(3)]
            output = tuple(moved[i] // stride[i] for i in range(3))
            whole = all(moved[i] % stride[i] == 0 for i in range(3))
            if whole and all(0 <= output[i] < shape[i] for i in range(3)):
                reached.add(output)
    return reached


def test_openpcdet_s_spare_cell_leaves_two_in_z_and_the_same_weights():
    settings = VoxelNet(spare_cells_z=1)
    assert settings.grid_shape == (1024, 1024, 41)
    assert settings.map_shape == (128, 128, 2)
    assert settings.num_channels == 256
    kitti = VoxelNet(range_m=(0, -40, -3, 70.4, 40, 1), size_m=(0.05, 0.05, 0.1), spare_cells_z=1)
    assert kitti.grid_shape == (1408, 1600, 41)
    assert kitti.map_shape == (176, 200, 2)
    shapes = {name: tensor.shape for name, tensor in VoxelNet().build(1).state_dict().items()}
    assert {name: tensor.shape for name, tensor in kitti.build(1).state_dict().items()} == shapes


@pytest.mark.parametrize(("height_m", "cells"), [(0.5, 1), (0.7, 0)])
def test_what_is_high_leaves_no_site_unless_there_is_a_spare_cell(height_m, cells):
    point = np.array([[0.05, 0.05, height_m]], dtype=np.float32)
    for settings, layers in ((VoxelNet(), cells), (VoxelNet(spare_cells_z=1), 1 + cells)):
        source = voxelize(voxelizer(settings), [point], [np.ones(1)])
        found = occupied_cells(source.coordinates - torch.tensor([0, *settings.first_cell]))
        sites, _ = network(settings).encode(found, torch.ones(1, INPUTS))
        assert len({z for _, _, _, z in unpack(sites.keys).tolist()}) == layers
        assert (network(settings)(source).abs().sum() > 0) == (layers > 0)


def test_its_defaults_survive_a_round_trip():
    same = VoxelNet.from_dict(VoxelNet().to_dict())
    assert same == VoxelNet()
    assert same.fingerprint() == VoxelNet().fingerprint()


def expected_shapes():
    shapes = {}
    for name, (inputs, outputs) in LAYERS.items():
        size = (3, 1, 1) if name == "conv_out" else (3, 3, 3)
        shapes[f"{name}.0.weight"] = (outputs, *size, inputs)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.1.{part}"] = (outputs,)
        shapes[f"{name}.1.num_batches_tracked"] = ()
    return shapes


def test_weights_bear_openpcdet_s_names_in_spconv_2_s_layout():
    net = VoxelNet().build(1)
    assert {name: tuple(t.shape) for name, t in net.state_dict().items()} == expected_shapes()
    assert num_parameters(net) == 711_872


def test_weights_begin_as_spconv_s_and_norms_as_openpcdet_s():
    net = VoxelNet().build(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
    for name, (inputs, _) in LAYERS.items():
        weight = net.get_parameter(f"{name}.0.weight").detach()
        bound = 1 / math.sqrt(inputs * math.prod(weight.shape[1:4]))
        assert 0.98 * bound < weight.abs().max() <= bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_a_checkpoint_of_openpcdet_loads_to_the_last_key(tmp_path):
    generator = torch.Generator().manual_seed(1)
    state = {
        f"backbone_3d.{name}": torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in expected_shapes().items()
    }
    head = {"dense_head.conv_cls.weight": torch.ones(18, 512, 1, 1), "global_step": torch.ones(1)}
    torch.save({"model_state": {**state, **head}, "epoch": 80, "it": 37120}, tmp_path / "model.pth")

    loaded = torch.load(tmp_path / "model.pth", weights_only=True)["model_state"]
    prefix = "backbone_3d."
    tensors = {n.removeprefix(prefix): t for n, t in loaded.items() if n.startswith(prefix)}
    net = SMALL.build(1).eval()
    load_into(net, tensors, tmp_path / "model.pth", "voxelnet")

    for name, tensor in state.items():
        assert torch.equal(net.state_dict()[name.removeprefix(prefix)], tensor)
    source = double(voxels())
    expected = read_dense(dense_map(net.double(), SMALL, source)[0], SMALL, source)
    torch.testing.assert_close(net(source), expected)


@pytest.mark.parametrize("every_point", [False, True])
def test_inputs_are_the_means_of_the_points_inside_each_voxel(every_point):
    source = voxels(every_point=every_point)
    assert (source.voxel_of_point < 0).any() != every_point
    assert source.voxel_of_point[source.voxel_of_point >= 0].bincount().max() > 10
    torch.testing.assert_close(inputs_of(network(), source), means(source))


def test_reading_is_a_loop_over_four_cells():
    generator = torch.Generator().manual_seed(2)
    shape = (4, 3, 2)
    cells = torch.unique((torch.rand(30, 4) * torch.tensor([2, *shape])).long(), dim=0)
    sites = occupied_cells(cells[torch.argsort(cells @ torch.tensor([1000, 1, 10, 100]))])
    features = torch.randn(len(sites), 5, generator=generator, dtype=torch.float64)
    at_site = {tuple(c): f for c, f in zip(unpack(sites.keys).tolist(), features, strict=True)}
    frames = torch.randint(0, 2, (50,), generator=generator)
    places = torch.rand(50, 2, generator=generator, dtype=torch.float64) * torch.tensor([4, 3])
    places[:2] = torch.tensor([[3.0, 2.0], [0.0, 1.0]])  # on a cell's own place
    rows = read_bilinear(features, sites, shape, frames, places)
    for row, frame, (x, y) in zip(rows, frames.tolist(), places.tolist(), strict=True):
        expected = torch.zeros(5, 2, dtype=torch.float64)
        for dx, dy, z in itertools.product((0, 1), (0, 1), (0, 1)):
            left, top = math.floor(x), math.floor(y)
            weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
            cell = frame, min(left + dx, 3), min(top + dy, 2), z
            expected[:, z] += weight * at_site.get(cell, torch.zeros(5))
        torch.testing.assert_close(row, expected.flatten())


def test_a_linear_projection_may_come_before_or_after_the_reading():
    source = voxels()
    net = network()
    cells = occupied_cells(source.coordinates - torch.tensor([0, *SMALL.first_cell]))
    sites, features = net.encode(cells, means(source))
    projection = torch.randn(128, 64)
    frames = source.coordinates[:, 0].long()
    places = torch.rand(len(frames), 2) * 2
    read = lambda rows: read_bilinear(rows, sites, SMALL.map_shape, frames, places)
    torch.testing.assert_close(read(features @ projection), read(features) @ projection)


def test_voxels_in_another_order_give_rows_in_that_order():
    source, net = voxels(), network()
    order = torch.randperm(len(source.coordinates))
    with torch.no_grad():
        torch.testing.assert_close(net(take(source, order)), net(source)[order])


def test_frames_do_not_see_each_other_in_evaluation():
    source, net = voxels(frames=3), network()
    with torch.no_grad():
        together = net(source)
        for frame in range(3):  # the frames before it are empty then
            rows = (source.coordinates[:, 0] == frame).nonzero()[:, 0]
            torch.testing.assert_close(net(take(source, rows)), together[rows])


def test_gradients_reach_every_weight_and_training_is_repeatable():
    gradients = []
    for _ in range(2):
        net = network(training=True)
        net(voxels()).square().mean().backward()
        gradients.append([weight.grad for weight in net.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first.abs().sum() > 0
        assert torch.equal(first, second)


@pytest.mark.parametrize("settings", [SMALL, TALL])
@pytest.mark.parametrize("training", [False, True])
def test_no_voxels(training, settings):
    rows = torch.zeros(0, dtype=torch.long)
    cells = torch.zeros(0, 4, dtype=torch.int32)
    empty = Voxels(cells, torch.zeros(0, 1), rows, rows, torch.zeros(0, 4))
    net = network(settings, training=training)
    output = net(empty)
    output.sum().backward()
    assert output.shape == (0, settings.num_channels)


def test_autocast_stays_close_to_full_precision_and_can_train():
    source, net = voxels(), network()
    expected = net(source)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = net(source)
        output.square().mean().backward()
    assert output.dtype == torch.float32
    assert (output - expected).norm() / expected.norm() < 0.05
    assert all(weight.grad.abs().sum() > 0 for weight in net.parameters())


def test_intensity_and_place_count_and_the_voxels_own_features_do_not():
    source, net = voxels(), network()
    brighter = source.points.clone()
    brighter[:, 3] += 100
    with torch.no_grad():
        output = net(source)
        assert not torch.allclose(net(replace(source, points=brighter)), output)
        other = replace(source, features=torch.rand(len(source.features), 3))
        assert torch.equal(net(other), output)


def test_a_network_learns_from_a_real_scan(shared_data):
    scan = next(shared_data.glob("nuscenes_scene0061*/samples/LIDAR_TOP/*.pcd.bin"))
    points = np.fromfile(scan, dtype=np.float32).reshape(-1, 5)[::16]
    settings = VoxelNet()
    cells = voxelize(voxelizer(settings), [points[:, :3]], [points[:, 3]])
    height = cells.points[cells.kept_point, 2]
    height = (height - height.mean()) / height.std()
    torch.manual_seed(0)
    net, head = settings.build(1), nn.Linear(settings.num_channels, 1)
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=1e-3)
    losses = []
    for _ in range(6):
        loss = (head(net(cells))[:, 0] - height).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_equals_cpu():
    source, net = voxels(), network()
    expected = net(source)
    there = Voxels(**{name: tensor.cuda() for name, tensor in vars(source).items()})
    output = net.cuda()(there)
    output.sum().backward()
    torch.testing.assert_close(output.cpu(), expected, rtol=1e-3, atol=1e-4)
