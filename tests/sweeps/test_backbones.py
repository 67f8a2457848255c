"""Table 7: each network in voxels that it takes, under rates that its training has room for."""

import pytest
import torch

from olivine.data.geometry.voxelization import voxelize
from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep import expand
from olivine.experiments.sweep_files import find_sweep
from olivine.training.optimisers.adamw import AdamW

STEPS_PER_EPOCH = {  # frames of the labelled scenes over the batch
    "backbones": {"1 %": 17, "10 %": 175, "100 %": 1758},
    "demo_backbones": {"1 of 8 scenes": 1, "8 of 8 scenes": 12},
}


def configs(name: str) -> dict:
    sweep = find_sweep(name)
    return {t.row: t.config for t in expand(sweep.only(seeds=[0]), RECIPES[sweep.recipe]())}


@pytest.mark.parametrize("name", STEPS_PER_EPOCH)
def test_a_network_and_its_random_start_differ_in_the_pretraining_alone(name):
    found = configs(name)
    pretrained = [row for row in found if " OLIVINE" in row]
    assert len(found) == 2 * len(pretrained)
    for row in pretrained:
        random, ours = found[row.replace(" OLIVINE", " random")], found[row]
        assert (random.pretrained.num_epochs, ours.pretrained.num_epochs > 0) == (0, True)
        assert ours.override({"pretrained": random.pretrained}) == random
        assert ours.pretrained.backbone == random.pretrained.backbone
        assert ours.pretrained.voxels == random.pretrained.voxels
        assert ours.pretrained.backbone.kind == row.partition(" ")[0].lower()


@pytest.mark.parametrize("name", STEPS_PER_EPOCH)
def test_voxels_lie_where_the_network_looks(name):
    for config in configs(name).values():
        network, voxels = config.pretrained.backbone, config.pretrained.voxels
        if network.kind != "minkunet":
            assert (voxels.coordinates, voxels.range_m) == ("cartesian", network.range_m)
        if network.kind == "voxelnet":
            assert voxels.cell_size == network.size_m


@pytest.mark.parametrize("name", STEPS_PER_EPOCH)
def test_warm_ups_end_within_the_training(name):
    found = configs(name)
    for row, config in found.items():
        steps = STEPS_PER_EPOCH[name][row.partition(", ")[2]]
        config.optimiser.rate_share(0, steps, config.num_epochs)  # UserError: longer than that
    warm = [config for config in found.values() if isinstance(config.optimiser, AdamW)]
    assert {config.pretrained.backbone.kind for config in warm} == {"waffleiron"}


def test_the_demos_networks_have_features_of_what_lies_in_their_voxels(tiny_scan):
    found = configs("demo_backbones")
    for name in ("WaffleIron", "MinkUNet", "VoxelNet"):
        config = found[f"{name} random, 1 of 8 scenes"].pretrained
        batch = voxelize(config.voxels, [tiny_scan[:, :3].numpy()], [tiny_scan[:, 3].numpy()])
        torch.manual_seed(0)
        features = config.backbone.build(config.voxels.num_channels)(batch)
        assert features.shape == (len(batch.coordinates), config.backbone.num_channels)
        assert features.isfinite().all()


@pytest.fixture
def tiny_scan() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    low, high = torch.tensor([-40.0, -40.0, -3.0, 0.0]), torch.tensor([40.0, 40.0, 2.0, 255.0])
    return low + (high - low) * torch.rand((400, 4), generator=generator)
