"""Checkpoints in the layout of SLidR's code load to the last key, and what does not fit is told."""

from pathlib import Path

import pytest
import torch

from olivine.core.errors import UserError
from olivine.data.geometry.voxels import Voxelizer
from olivine.experiments.demo_scale import at_demo_scale
from olivine.experiments.recipes import recipe
from olivine.models.backbones.minkunet import MinkUNet
from olivine.models.backbones.published_checkpoints import load_checkpoint
from olivine.models.backbones.voxelnet import VoxelNet
from olivine.models.backbones.waffleiron import WaffleIron
from olivine.tracking.tracker import NullTracker
from olivine.training.evaluate import evaluate
from olivine.training.pretrain import pretrain, run_key
from olivine.training.pretrained_networks import build_model
from olivine.training.worker import LocalWorker
from tests.support.run_stores.tiny_runs import tiny_runtime

SMALL = MinkUNet(stem_channels=4, planes=(8, 8), blocks=(1, 1))
CONFIG = {"voxel_size": 0.1, "cylindrical_coordinates": True, "lr": 0.5}


def weights(settings: MinkUNet = SMALL) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return settings.build(1).state_dict()


def in_slidrs_layout(state: dict[str, torch.Tensor], prefix: str = "") -> dict:
    points = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    heads = {
        f"{prefix}{name}": torch.ones(1, 8, 64)
        for name in ("final.kernel", "final_class_level.kernel")
    }
    images = {"encoder.conv1.weight": torch.ones(64, 3, 7, 7)}
    return {
        "model_points": {**points, **heads},
        "model_images": images,
        "epoch": 50,
        "config": CONFIG,
    }


def of_the_trainer(state: dict[str, torch.Tensor]) -> dict:
    points = {f"model_points.{name}": tensor for name, tensor in state.items()}
    return {"state_dict": {**points, "model_images.decoder.0.weight": torch.ones(64, 2048, 1, 1)}}


LAYOUTS = {
    "published": in_slidrs_layout,
    "of several GPUs": lambda state: in_slidrs_layout(state, "module."),
    "the trainer's": of_the_trainer,
    "our own": lambda state: {"backbone": state, "config": "kind: minkunet\n"},
    "bare": lambda state: state,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_loads_to_the_last_key(layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout](weights()), tmp_path / "model.pt")
    torch.manual_seed(4)
    network = SMALL.build(1)

    load_checkpoint(network, tmp_path / "model.pt", Voxelizer(), "minkunet")

    for name, tensor in weights().items():
        assert torch.equal(network.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("config", "voxels"),
    [
        ({"voxel_size": 0.1, "cylindrical_coordinates": True}, Voxelizer()),
        ({"voxel_size": [0.1, 1.0, 0.1], "cylindrical_coordinates": True}, Voxelizer()),
        (
            {"voxel_size": 0.1, "cylindrical_coordinates": False},
            Voxelizer(coordinates="cartesian"),
        ),
        ({"voxel_size": 0.05}, Voxelizer()),  # it does not say of which coordinates
    ],
)
def test_a_config_that_agrees_is_taken(config: dict, voxels: Voxelizer, tmp_path: Path) -> None:
    torch.save({"model_points": weights(), "config": config}, tmp_path / "model.pt")
    load_checkpoint(SMALL.build(1), tmp_path / "model.pt", voxels, "minkunet")


def test_an_encoder_is_found_in_a_whole_detector(tmp_path: Path) -> None:
    settings = VoxelNet()
    torch.manual_seed(3)
    state = settings.build(1).state_dict()
    detector = {f"backbone_3d.{name}": tensor for name, tensor in state.items()}
    others = {"global_step": torch.ones(1), "dense_head.conv_cls.weight": torch.ones(18, 512, 1, 1)}
    torch.save({"model_state": {**others, **detector}, "epoch": 80}, tmp_path / "second.pth")
    torch.manual_seed(4)
    network = settings.build(1)

    load_checkpoint(network, tmp_path / "second.pth", Voxelizer(), "voxelnet")

    for name, tensor in state.items():
        assert torch.equal(network.state_dict()[name], tensor), name


@pytest.mark.parametrize("place", ["net", "model_point"])
def test_waffleirons_and_scalrs_files_load_without_their_last_layer(
    place: str, tmp_path: Path
) -> None:
    settings = WaffleIron(width=8, depth=2)
    torch.manual_seed(3)
    state = settings.build(1).state_dict()
    theirs = {f"module.{name}": tensor for name, tensor in state.items()}
    theirs["module.classif.weight"] = torch.ones(16, 8, 1)
    torch.save({place: theirs, "epoch": 45}, tmp_path / "ckpt_last.pth")
    torch.manual_seed(4)
    network = settings.build(1)

    load_checkpoint(network, tmp_path / "ckpt_last.pth", Voxelizer(), "waffleiron")

    for name, tensor in state.items():
        assert torch.equal(network.state_dict()[name], tensor), name


@pytest.mark.slow
def test_res16unet34c_of_slidrs_code_loads_whole(tmp_path: Path) -> None:
    torch.save(in_slidrs_layout(weights(MinkUNet())), tmp_path / "model.pt")
    network = MinkUNet().build(1)

    load_checkpoint(network, tmp_path / "model.pt", Voxelizer(), "minkunet")

    assert sum(p.numel() for p in network.parameters()) == 37_842_976


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    path, state = tmp_path / "model.pt", weights()
    torch.save(in_slidrs_layout(state), path)
    wide = MinkUNet(stem_channels=4, planes=(8, 16), blocks=(1, 1)).build(1)
    with pytest.raises(UserError, match=r"not hold weights of minkunet: .* have another shape"):
        load_checkpoint(wide, path, Voxelizer(), "minkunet")
    with pytest.raises(UserError, match=r"trained on cylindrical .*coordinates=cylindrical --set"):
        load_checkpoint(SMALL.build(1), path, Voxelizer(coordinates="cartesian"), "minkunet")
    missing = next(iter(state))
    torch.save(in_slidrs_layout({k: v for k, v in state.items() if k != missing}), path)
    with pytest.raises(UserError, match=rf"1 are missing \(such as {missing}\)"):
        load_checkpoint(SMALL.build(1), path, Voxelizer(), "minkunet")
    torch.save({**state, "unknown.weight": torch.ones(1)}, path)
    with pytest.raises(UserError, match=r"1 are not known \(such as unknown.weight\)"):
        load_checkpoint(SMALL.build(1), path, Voxelizer(), "minkunet")


def test_no_epochs_from_a_checkpoint_is_that_checkpoint_and_can_be_probed(
    tiny_world: Path, tmp_path: Path
) -> None:
    experiment = at_demo_scale(recipe("random")).override(
        {"pretrained.backbone.planes": [8, 8], "pretrained.backbone.blocks": [1, 1]}
    )
    path = tmp_path / "model.pt"
    torch.save(weights(experiment.pretrained.backbone), path)
    given = experiment.override({"pretrained.backbone.weights": str(path), "num_epochs": 1})
    runtime = tiny_runtime(tiny_world, tmp_path)
    frames = given.pretrained.data.open(runtime.data_path(), runtime.cache_path())

    key = run_key(given.pretrained, frames)
    assert key != run_key(experiment.pretrained, frames)
    state = build_model(given.pretrained, 1).backbone.state_dict()
    assert all(torch.equal(state[name], t) for name, t in torch.load(path).items())
    pretrain(given.pretrained, runtime, LocalWorker(), NullTracker())
    scores = evaluate(given, runtime, LocalWorker(), NullTracker()).scores

    assert 0 <= scores["miou"] <= 100
    with pytest.raises(UserError, match="No weights"):
        run_key(given.override({"pretrained.backbone.weights": "nowhere.pt"}).pretrained, frames)
