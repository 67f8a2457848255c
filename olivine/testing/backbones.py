"""The contract of a 3D network."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.models.backbones.base import Backbone
from olivine.testing.frames import street_scan
from olivine.testing.settings import check_settings, devices, require

CUBES = Voxelizer(coordinates="cartesian", size=(0.3, 0.3, 0.3))
NUM_INPUT_CHANNELS = 1  # intensity
NUM_STEPS, LR = 12, 1e-2
TOLERANCE = 1e-3  # relative to the largest feature, because sums may be in another order


def example_voxels(voxelizer: Voxelizer, num_points: tuple[int, ...] = (300, 200)) -> Voxels:
    """Return the voxels of some small scans, whose points are within 8 m."""
    clouds = [street_scan(num, seed)[0] for seed, num in enumerate(num_points)]
    intensity = [np.linspace(0, 255, len(cloud), dtype=np.float32) for cloud in clouds]
    return voxelize(voxelizer, clouds, intensity)


def check_backbone(
    backbone: Backbone, *, voxelizer: Voxelizer = CUBES, learns: bool = True
) -> None:
    """Check the promises of a 3D network, on scans of a voxelizer (default: cubes of 0.3 m).

    Its settings can be written and read again. It returns `num_channels` finite features per voxel,
    equal for equal seeds. In eval mode a scan's features do not depend on the other scans of the
    batch, nor on the order of the voxels, and its state does not change. Settings that it leaves to
    an evaluation fit the same weights. A single voxel is accepted or raises UserError. Every weight
    gets a finite gradient, a checkpoint restores its state, some
    steps lower a loss (`learns=False` leaves that out), and a GPU agrees with the CPU.

    Raises AssertionError for a promise that is broken.
    """
    check_settings(backbone)
    voxels = example_voxels(voxelizer)
    _check_features(backbone, voxels)
    with suppress(UserError):  # a network may need more than one voxel
        _features(backbone, _build(backbone), example_voxels(voxelizer, (1,)))
    _check_independence(backbone, voxelizer)
    _check_order(backbone, voxels)
    _check_evaluation_settings(backbone, voxels)
    _check_state(backbone, voxels)
    _check_gradients(backbone, voxels, learns)
    _check_devices(backbone, voxels)


def _build(backbone: Backbone, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = backbone.build(NUM_INPUT_CHANNELS)
    require(isinstance(network, nn.Module), backbone, "build() returns no torch.nn.Module")
    return network


@torch.no_grad()
def _features(backbone: Backbone, network: nn.Module, voxels: Voxels) -> Tensor:
    rows = network.eval()(voxels)
    shape = (len(voxels.features), backbone.num_channels)
    found = tuple(rows.shape)
    require(found == shape, backbone, f"features of shape {found} instead of {shape}")
    require(bool(rows.isfinite().all()), backbone, "a feature is not finite")
    return rows


def _check_features(backbone: Backbone, voxels: Voxels) -> None:
    one = _features(backbone, _build(backbone), voxels)
    again = _features(backbone, _build(backbone), voxels)
    require(torch.equal(one, again), backbone, "the same seed gives other features")
    other = _features(backbone, _build(backbone, seed=1), voxels)
    require(not torch.equal(one, other), backbone, "its weights do not follow torch's seed")


def _check_independence(backbone: Backbone, voxelizer: Voxelizer) -> None:
    network = _build(backbone)
    together = _features(backbone, network, example_voxels(voxelizer, (300, 200)))
    alone = _features(backbone, network, example_voxels(voxelizer, (300,)))
    same = _close(together[: len(alone)], alone)
    require(same, backbone, "a scan's features depend on the other scans of the batch")


def _check_order(backbone: Backbone, voxels: Voxels) -> None:
    order = torch.randperm(len(voxels.features), generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    row = voxels.voxel_of_point
    other = replace(
        voxels,
        coordinates=voxels.coordinates[order],
        features=voxels.features[order],
        kept_point=voxels.kept_point[order],
        voxel_of_point=torch.where(row < 0, row, place[row.clamp(min=0)]),
    )
    network = _build(backbone)
    one, permuted = _features(backbone, network, voxels), _features(backbone, network, other)
    require(_close(one[order], permuted), backbone, "another order of voxels gives other features")


def _check_evaluation_settings(backbone: Backbone, voxels: Voxels) -> None:
    free, names = backbone.evaluation_settings(), set(type(backbone).model_fields)
    unknown = ", ".join(sorted(set(free) - names))
    require(not unknown, backbone, f"it leaves settings to an evaluation that it lacks: {unknown}")
    wanted = _features(backbone, _build(backbone), voxels)
    for name in free:
        value = getattr(backbone, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for other in (value / 2, value // 2, value * 2):  # some value that it accepts
            with suppress(UserError):
                changed = backbone.for_evaluation({name: other})
                break
        else:
            continue
        network = _build(backbone)
        state = _build(changed, seed=1)
        shapes = {key: weights.shape for key, weights in state.state_dict().items()}
        same = shapes == {key: weights.shape for key, weights in network.state_dict().items()}
        require(same, backbone, f"an evaluation may change {name}, and other weights fit then")
        if name in backbone.training_only:
            state.load_state_dict(network.state_dict())
            equal = torch.equal(wanted, _features(changed, state, voxels))
            require(equal, backbone, f"{name} is training_only and changes features in eval mode")


def _check_state(backbone: Backbone, voxels: Voxels) -> None:
    network = _build(backbone)
    network.train()(voxels)  # statistics gathered in training are part of its state
    state = {name: value.clone() for name, value in network.state_dict().items()}
    wanted = _features(backbone, network, voxels)
    for name, value in network.state_dict().items():
        require(torch.equal(value, state[name]), backbone, f"evaluation changes its {name}")
    restored = _build(backbone, seed=1)
    restored.load_state_dict(state)
    same = torch.equal(wanted, _features(backbone, restored, voxels))
    require(same, backbone, "its state does not survive a checkpoint")


def _check_gradients(backbone: Backbone, voxels: Voxels, learns: bool) -> None:
    network = _build(backbone).train()
    head = nn.Linear(backbone.num_channels, 1)
    target = (
        voxels.coordinates[:, 1] % 4
    ).float()  # a target that depends on the position of a voxel
    optimiser = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=LR)
    losses = []
    for _ in range(NUM_STEPS):
        loss = (head(network(voxels))[:, 0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        for name, weights in network.named_parameters():
            require(weights.grad is not None, backbone, f"{name} takes no gradient")
            finite = weights.grad is not None and bool(weights.grad.isfinite().all())
            require(finite, backbone, f"the gradient of {name} is not finite")
        optimiser.step()
        losses.append(loss.item())
    course = f"from {losses[0]:.4g} to {losses[-1]:.4g}"
    require(
        losses[-1] < losses[0] or not learns, backbone, f"{NUM_STEPS} steps take a loss {course}"
    )


def _check_devices(backbone: Backbone, voxels: Voxels) -> None:
    wanted = _features(backbone, _build(backbone), voxels)
    for device in devices():
        network = _build(backbone).to(device)
        found = _features(backbone, network, voxels.to(device)).cpu()
        require(_close(wanted, found, 10 * TOLERANCE), backbone, f"on {device} features differ")


def _close(one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> bool:
    largest = float(one.abs().max()) if one.numel() else 1.0
    return one.shape == other.shape and bool(((one - other).abs() <= tolerance * largest).all())
