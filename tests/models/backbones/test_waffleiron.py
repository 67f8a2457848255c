"""The oracle is the same network by loops over points and cells, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.models.backbones.waffleiron.network import Layers, project_to_grids
from tests.support.networks import num_parameters, seen_network

RANGE_M = (-6.0, -4.0, -2.0, 6.0, 5.0, 1.0)
TINY = WaffleIron(
    width=8,
    depth=4,
    num_neighbours=5,
    range_m=RANGE_M,
    grids=((7, 6), (7, 3), (6, 3)),
    drop_path=0.0,
)
LAYER_NORM = TINY.override({"norm": "layer"})
AXES = {"z": (0, 1), "y": (0, 2), "x": (1, 2)}  # what is left along each


def points_of(count=120, seed=0):
    """Return x, y, z and intensity, in range."""
    generator = np.random.default_rng(seed)
    xyz = generator.uniform(RANGE_M[:3], RANGE_M[3:], (count, 3))
    return np.column_stack([xyz, generator.uniform(0, 255, count)]).astype(np.float32)


def voxels(counts=(120, 90), seed=0):
    scans = [points_of(count, seed + i) for i, count in enumerate(counts)]
    voxelizer = Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3), range_m=RANGE_M)
    return voxelize(voxelizer, [scan[:, :3] for scan in scans], [scan[:, 3] for scan in scans])


def take(source, rows):
    """Return some voxels, in another order; the points stay."""
    return Voxels(
        source.coordinates[rows],
        source.features[rows],
        source.voxel_of_point,
        source.kept_point[rows],
        source.points,
    )


def network(settings=TINY, training=False):
    return seen_network(settings, training)


def naive(net, settings, source):
    """Return the rows of one frame, by loops."""
    weights = net.state_dict()
    points = source.points[source.kept_point]
    xyz, radius = points[:, :3], points[:, :3].square().sum(dim=1, keepdim=True).sqrt()
    inputs = torch.cat([points[:, 3:], xyz, radius], dim=1)
    tokens = naive_embedding(weights, inputs, xyz, settings.num_neighbours)
    low, high = torch.tensor(settings.range_m).double().view(2, 3)
    for d in range(settings.depth):
        axis, grid = list(zip("zyx", settings.grids, strict=False))[d % len(settings.grids)]
        spatial, channel = f"waffleiron.spatial_mix.{d}.", f"waffleiron.channel_mix.{d}."
        cells = [
            tuple(
                int((point[i] - low[i]) / ((high[i] - low[i]) / count))
                for i, count in zip(AXES[axis], grid, strict=True)
            )
            for point in xyz
        ]
        rows = naive_norm(weights, spatial + "norm.", tokens)
        image = torch.zeros(1, settings.width, *grid).double()
        for cell in set(cells):
            of_cell = [row for row, other in zip(rows, cells, strict=True) if other == cell]
            image[0, :, cell[0], cell[1]] = torch.stack(of_cell).mean(dim=0)
        for i in (0, 2):
            layer = weights[f"{spatial}ffn.{i}.weight"], weights[f"{spatial}ffn.{i}.bias"]
            image = F.conv2d(image, *layer, padding=1, groups=settings.width)
            image = image.clamp(min=0) if i == 0 else image
        read = torch.stack([image[0, :, row, column] for row, column in cells])
        tokens = tokens + read * weights[spatial + "scale.weight"].flatten()
        rows = naive_norm(weights, channel + "norm.", tokens)
        rows = naive_linear(weights, channel + "mlp.0.", rows).clamp(min=0)
        rows = naive_linear(weights, channel + "mlp.2.", rows)
        tokens = tokens + rows * weights[channel + "scale.weight"].flatten()
    return tokens


def naive_embedding(weights, inputs, xyz, num_neighbours):
    inputs = naive_norm(weights, "embed.norm.", inputs)
    own = naive_linear(weights, "embed.conv1.", inputs)
    around = []
    for i, place in enumerate(xyz):
        order = (xyz - place).norm(dim=1).argsort()
        nearest = [row for row in order.tolist() if row != i][:num_neighbours]
        rows = naive_norm(weights, "embed.conv2.0.", inputs[nearest] - inputs[i])
        rows = naive_norm(weights, "embed.conv2.2.", naive_linear(weights, "embed.conv2.1.", rows))
        rows = naive_linear(weights, "embed.conv2.4.", rows.clamp(min=0))
        around.append(rows.amax(dim=0))
    return naive_linear(weights, "embed.final.", torch.cat([own, torch.stack(around)], dim=1))


def naive_norm(weights, name, rows):
    if name + "running_mean" in weights:
        mean, variance = weights[name + "running_mean"], weights[name + "running_var"]
    else:
        mean = rows.mean(dim=1, keepdim=True)
        variance = (rows - mean).square().mean(dim=1, keepdim=True)
    scaled = (rows - mean) / (variance + 1e-5).sqrt()
    return scaled * weights[name + "weight"] + weights[name + "bias"]


def naive_linear(weights, name, rows):
    weight = weights[name + "weight"]
    return rows @ weight.view(weight.shape[:2]).t() + weights.get(name + "bias", 0)


@pytest.mark.parametrize(
    ("width", "norm", "count"),
    [(256, "batch", 6_835_732), (384, "batch", 15_119_636), (768, "layer", 59_435_540)],
)
def test_waffleiron_has_the_published_sizes(width, norm, count):
    settings = WaffleIron(width=width, norm=norm)
    with torch.device("meta"):
        net = settings.build(1)
    assert num_parameters(net) == count
    embedding = 2 * 5 + (5 + 1) * width + (2 * 5 + 5 * width + 2 * width + width**2)
    embedding += (2 * width + 1) * width
    layer = (2 + 2 * (9 + 1) + 1) * width + (2 + 2 * (width + 1) + 1) * width
    assert count == embedding + 48 * layer
    assert settings.num_channels == width


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_weights_bear_the_released_codes_names_and_no_others(norm):
    def batch_norm(name, channels):
        shapes = {f"{name}.{n}": (channels,) for n in ("weight", "bias")}
        shapes |= {f"{name}.running_{n}": (channels,) for n in ("mean", "var")}
        return shapes | {f"{name}.num_batches_tracked": ()}

    def layer_norm(name, channels):
        return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}

    of_mix = batch_norm if norm == "batch" else layer_norm
    expected = batch_norm("embed.norm", 5)
    expected |= {"embed.conv1.weight": (32, 5, 1), "embed.conv1.bias": (32,)}
    expected |= batch_norm("embed.conv2.0", 5)
    expected |= {"embed.conv2.1.weight": (32, 5, 1, 1)}
    expected |= batch_norm("embed.conv2.2", 32)
    expected |= {"embed.conv2.4.weight": (32, 32, 1, 1)}
    expected |= {"embed.final.weight": (32, 64, 1), "embed.final.bias": (32,)}
    for d in range(3):
        for mix, layers, shape in [
            (f"waffleiron.channel_mix.{d}", "mlp", (32, 32, 1)),
            (f"waffleiron.spatial_mix.{d}", "ffn", (32, 1, 3, 3)),
        ]:
            expected |= of_mix(f"{mix}.norm", 32) | {f"{mix}.scale.weight": (32, 1, 1)}
            expected |= {f"{mix}.{layers}.{i}.weight": shape for i in (0, 2)}
            expected |= {f"{mix}.{layers}.{i}.bias": (32,) for i in (0, 2)}
    state = WaffleIron(width=32, depth=3, norm=norm).build(1).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


def test_weights_begin_as_torch_s_convolutions_do():
    torch.manual_seed(0)
    state = WaffleIron(width=64, depth=1).build(1).state_dict()
    for name, bound in [
        ("embed.final.weight", 128**-0.5),
        ("waffleiron.channel_mix.0.mlp.2.bias", 64**-0.5),
        ("waffleiron.spatial_mix.0.ffn.0.weight", 9**-0.5),
        ("waffleiron.spatial_mix.0.scale.weight", 1),
    ]:
        assert 0.9 * bound < state[name].abs().max() <= bound


@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        LAYER_NORM,
        TINY.override({"grids": [[7, 6]]}),
        TINY.override({"grids": [[7, 6], [5, 4]]}),
    ],
)
def test_it_is_the_network_of_the_paper(settings):
    source = voxels()
    net = network(settings).double()
    source = replace(source, points=source.points.double())
    with torch.no_grad():
        output = net(source)
    for frame in (0, 1):
        rows = (source.coordinates[:, 0] == frame).nonzero()[:, 0]
        expected = naive(net, settings, take(source, rows))
        torch.testing.assert_close(output[rows], expected, rtol=1e-9, atol=1e-9)


def test_intensity_is_standardised():
    settings = TINY.override({"intensity_mean": 18.0, "intensity_std": 22.0})
    source, net = voxels(), network()
    points = source.points.clone()
    points[:, 3] = (points[:, 3] - 18) / 22
    with torch.no_grad():
        expected = net(replace(source, points=points))
        torch.testing.assert_close(network(settings)(source), expected)


@pytest.mark.parametrize("settings", [TINY, LAYER_NORM])
def test_rows_come_out_in_the_order_they_went_in(settings):
    source, net = voxels(), network(settings)
    order = torch.randperm(len(source.features), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(net(take(source, order)), net(source)[order])


@pytest.mark.parametrize("frame", [0, 1])
def test_frames_do_not_see_each_other_in_evaluation(frame):
    source, net = voxels(), network()
    rows = (source.coordinates[:, 0] == frame).nonzero()[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(net(take(source, rows)), net(source)[rows])


def test_no_point_in_range_leaves_the_grid():
    settings = TINY.override({"range_m": [-0.1, -0.7, -0.3, 0.2, 0.6, 0.9]})
    low, high = torch.tensor(settings.range_m, dtype=torch.float64).view(2, 3)
    below = torch.nextafter(high, low)
    planes = project_to_grids(
        torch.stack([low, below]), torch.zeros(2, dtype=torch.long), 1, settings
    )
    for plane, (rows, columns) in zip(planes, settings.grids, strict=True):
        assert plane.cell.tolist() == [0, rows * columns - 1]


@pytest.mark.parametrize("settings", [TINY, LAYER_NORM])
def test_gradients_reach_every_weight_and_training_is_repeatable(settings):
    settings = settings.override({"drop_path": 0.2})
    source, gradients = voxels((120, 90, 80)), []
    for _ in range(2):
        net = network(settings, training=True)
        net(source).square().mean().backward()
        gradients.append({name: weight.grad for name, weight in net.named_parameters()})
    for name, gradient in gradients[0].items():
        # The batch norm after it takes away what this bias adds, all but rounding.
        assert gradient.abs().sum() > (0 if name == "embed.conv2.0.bias" else 1e-6), name
        assert torch.equal(gradient, gradients[1][name])


def test_drop_path_leaves_out_frames_in_training_alone_and_keeps_the_expectation():
    settings = TINY.override({"depth": 1, "drop_path": 0.25, "norm": "layer"})
    torch.manual_seed(0)
    layers = Layers(settings)
    num_frames, per_frame = 4000, 2
    frame = torch.arange(num_frames).repeat_interleave(per_frame)
    tokens, residual = torch.ones(len(frame), 3), torch.full((len(frame), 3), 2.0)
    added = layers._add(tokens, residual, frame, num_frames) - tokens
    assert torch.equal(added.unique(), torch.tensor([0, 2 / 0.75]))
    of_frame = added.view(num_frames, -1)
    assert torch.equal(of_frame.amin(dim=1), of_frame.amax(dim=1))
    assert abs(added.mean() - 2) < 0.1
    layers.eval()
    assert torch.equal(layers._add(tokens, residual, frame, num_frames), tokens + residual)


def test_drop_path_is_off_in_evaluation():
    source, dropping = voxels(), TINY.override({"drop_path": 0.5})
    with torch.no_grad():
        expected = network()(source)
        assert torch.equal(network(dropping)(source), expected)
        training = network(dropping, training=True)
        assert not torch.equal(training(source), network(training=True)(source))


@pytest.mark.parametrize("training", [False, True])
def test_no_voxels(training):
    net = network(training=training)
    empty = take(voxels(), torch.zeros(0, dtype=torch.long))
    output = net(empty)
    output.sum().backward()
    assert output.shape == (0, TINY.num_channels)


def test_points_outside_the_range_are_told_to_the_user():
    source = voxels()
    source.points[source.kept_point[3], 2] = 1.5
    with pytest.raises(UserError, match=r"1 of .* outside waffleiron's range_m") as error:
        network()(source)
    assert str(RANGE_M) in str(error.value)
    assert "1.5] m" in str(error.value)
    assert f"pretrained.voxels.range_m={list(RANGE_M)}" in str(error.value)


def test_voxels_without_points_are_told_to_the_user():
    with pytest.raises(UserError, match="these voxels come without points"):
        network()(replace(voxels(), points=None))


def test_too_few_neighbours_are_told_to_the_user():
    with pytest.raises(UserError, match=r"Frame 1 of the batch has 5 voxels.*num_neighbours=5"):
        network()(voxels((60, 5)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"grids": []}, "one to three pairs of cells.*not 0"),
        ({"grids": [[4, 4]] * 4}, "one to three pairs of cells.*not 4"),
        ({"grids": [[4, 0]]}, "greater than 0"),
        ({"grids": [[4, 4, 4]]}, "at most 2 items"),
        ({"range_m": [-6, -4, 1, 6, 5, 1]}, "end above where it begins; z does not"),
        ({"drop_path": 1}, "less than 1"),
        ({"intensity_std": 0}, "greater than 0"),
        ({"width": 0}, "greater than 0"),
        ({"norm": "group"}, "'batch' or 'layer'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        TINY.override(settings)


@pytest.mark.parametrize("settings", [TINY, LAYER_NORM])
@pytest.mark.parametrize("training", [False, True])
def test_autocast_stays_close_to_full_precision(settings, training):
    source, net = voxels(), network(settings, training)
    with torch.no_grad():
        expected = net(source)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = net(source)
    assert output.dtype == torch.float32
    assert (output - expected).norm() / expected.norm() < 0.05
    output.square().mean().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters())


def test_a_network_learns_from_a_real_scan(shared_data):
    scan = next(shared_data.glob("nuscenes_scene0061*/samples/LIDAR_TOP/*.pcd.bin"))
    points = np.fromfile(scan, dtype=np.float32).reshape(-1, 5)[::8]
    settings = WaffleIron(width=16, depth=3, drop_path=0.0)
    voxelizer = Voxelizer(coordinates="cartesian", range_m=settings.range_m)
    cells = voxelize(voxelizer, [points[:, :3]], [points[:, 3]])
    # Something that a point does not say of itself.
    crowd = cells.points[cells.kept_point]
    density = (torch.cdist(crowd[:, :2], crowd[:, :2]) < 1).sum(dim=1).log()
    net = network(settings, training=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        loss = (net(cells)[:, 0] - density).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * density.var()
