import numpy as np
import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.sparse import grid as grid_module
from tests.support.networks import num_parameters

TINY = MinkUNet(stem_channels=8, planes=(8, 12, 12, 8), blocks=(1, 1, 1, 1))


def voxels(count=400, extent=12, frames=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(-extent, extent, (count, 4), generator=generator)
    cells[:, 0] %= frames
    cells = torch.unique(cells, dim=0)
    cells = cells[torch.randperm(len(cells), generator=generator)]
    rows = torch.arange(len(cells))
    return Voxels(cells, torch.rand(len(cells), 1, generator=generator), rows, rows)


def take(source, rows):
    return Voxels(source.coordinates[rows], source.features[rows], rows, rows)


def network(settings=TINY, training=False):
    torch.manual_seed(0)
    return settings.build(1).train(training)


def test_minkunet_34_has_the_published_size():
    settings = MinkUNet()
    assert num_parameters(settings.build(1)) == 37_842_976
    assert settings.num_channels == 96


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv0p1s1.kernel", (27, 1, 32)),
        ("bn0.bn.weight", (32,)),
        ("conv1p1s2.kernel", (8, 32, 32)),
        ("bn1.bn.running_var", (32,)),
        ("block1.0.conv1.kernel", (27, 32, 32)),
        ("block1.1.norm2.bn.num_batches_tracked", ()),
        ("conv2p2s2.kernel", (8, 32, 32)),
        ("block2.0.downsample.0.kernel", (32, 64)),
        ("block2.0.downsample.1.bn.weight", (64,)),
        ("conv3p4s2.kernel", (8, 64, 64)),
        ("conv4p8s2.kernel", (8, 128, 128)),
        ("block4.5.conv2.kernel", (27, 256, 256)),
        ("convtr4p16s2.kernel", (8, 256, 256)),
        ("bntr4.bn.bias", (256,)),
        ("block5.0.conv1.kernel", (27, 384, 256)),
        ("convtr5p8s2.kernel", (8, 256, 128)),
        ("block6.0.downsample.0.kernel", (192, 128)),
        ("convtr6p4s2.kernel", (8, 128, 96)),
        ("block7.0.conv1.kernel", (27, 128, 96)),
        ("convtr7p2s2.kernel", (8, 96, 96)),
        ("bntr7.bn.running_mean", (96,)),
        ("block8.0.downsample.0.kernel", (128, 96)),
        ("block8.1.conv2.kernel", (27, 96, 96)),
    ],
)
def test_weights_bear_slidr_s_names(name, shape):
    assert MinkUNet().build(1).state_dict()[name].shape == shape


def test_minkunet_34_has_no_other_weights_than_slidr_s():
    stages = {f"block{i}" for i in range(1, 9)} | {f"bn{i}" for i in range(5)}
    stages |= {f"bntr{i}" for i in range(4, 8)} | {"conv0p1s1"}
    stages |= {f"conv{i + 1}p{2**i}s2" for i in range(4)}
    stages |= {f"convtr{4 + i}p{16 >> i}s2" for i in range(4)}
    assert {name.split(".")[0] for name in MinkUNet().build(1).state_dict()} == stages


def test_momentum_reaches_all_batch_norms_but_those_of_the_blocks():
    net = MinkUNet(bn_momentum=0.02, planes=(32, 48), blocks=(1, 2)).build(1)
    momenta = {name: m.momentum for name, m in net.named_modules() if name.endswith(".bn")}
    assert {n for n, m in momenta.items() if m == 0.1} == {n for n in momenta if ".norm" in n}
    assert momenta["bn0.bn"] == momenta["block2.0.downsample.1.bn"] == 0.02


def test_rows_come_out_in_the_order_they_went_in():
    source = voxels()
    order = torch.randperm(len(source.features))
    net = network()
    with torch.no_grad():
        torch.testing.assert_close(net(take(source, order)), net(source)[order])


def test_frames_do_not_see_each_other_in_evaluation():
    source = voxels()
    first = (source.coordinates[:, 0] == 0).nonzero()[:, 0]
    net = network()
    with torch.no_grad():
        torch.testing.assert_close(net(take(source, first)), net(source)[first])


def test_moving_by_whole_coarsest_cells_changes_nothing():
    source, net = voxels(), network()
    moved = source.coordinates + torch.tensor([0, 4, -8, 12])  # two levels: cells of 4
    with torch.no_grad():
        expected = net(source)
        torch.testing.assert_close(net.features(moved, source.features), expected)


def test_each_map_is_built_once_for_all_layers(monkeypatch):
    built = []
    for name in ("submanifold", "coarsen"):
        build = getattr(grid_module, name)
        spy = lambda *given, name=name, build=build: built.append(name) or build(*given)
        monkeypatch.setattr(grid_module, name, spy)
    settings = MinkUNet(stem_channels=4, planes=(4,) * 8)
    network(settings)(voxels())
    assert (built.count("submanifold"), built.count("coarsen")) == (5, 4)


def test_gradients_reach_every_weight_and_training_is_repeatable():
    gradients = []
    for _ in range(2):
        net = network(training=True)
        net(voxels()).square().mean().backward()
        gradients.append([weight.grad for weight in net.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first.abs().sum() > 0
        assert torch.equal(first, second)


@pytest.mark.parametrize("training", [False, True])
def test_no_voxels(training):
    rows = torch.zeros(0, dtype=torch.long)
    empty = Voxels(torch.zeros(0, 4, dtype=torch.int32), torch.zeros(0, 1), rows, rows)
    output = network(training=training)(empty)
    output.sum().backward()
    assert output.shape == (0, TINY.num_channels)


def test_too_few_voxels_to_train_on_is_told_to_the_user():
    with pytest.raises(UserError, match="fewer levels"):
        network(training=True)(take(voxels(), torch.arange(1)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"planes": [8, 8, 8]}, "two numbers per level"),
        ({"planes": [8, 8]}, "blocks takes one number per stage like planes: 2, not 8"),
        ({"stem_size": 4}, "odd"),
        ({"stem_channels": 0}, "greater than 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        MinkUNet().override(settings)


def test_autocast_stays_close_to_full_precision():
    source, net = voxels(), network()
    with torch.no_grad():
        expected = net(source)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = net(source).float()
    assert (output - expected).norm() / expected.norm() < 0.05


def test_a_network_learns_from_a_real_scan(shared_data):
    scan = next(shared_data.glob("nuscenes_scene0061*/samples/LIDAR_TOP/*.pcd.bin"))
    points = np.fromfile(scan, dtype=np.float32).reshape(-1, 5)[::8]
    cells = voxelize(Voxelizer(size=(0.4, 2.0, 0.4)), [points[:, :3]], [points[:, 3]])
    height = torch.from_numpy(points[:, 2])[cells.kept_point]
    net = network(training=True)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(15):
        loss = (net(cells)[:, 0] - height).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
