"""ResNet-50 in torchvision's form, from weights in every published layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from olivine.core.errors import UserError
from olivine.models.foundation.resnet import ResNet50, backbone_state, load_resnet50


@pytest.fixture(scope="module")
def own() -> dict[str, Tensor]:
    """Return random weights by torchvision's names, the classifier left out."""
    torch.manual_seed(0)
    state = ResNet50(dilated=True).network.state_dict()
    for name, tensor in state.items():  # statistics that are not those of a fresh network
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return state


def with_prefix(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a copy that must not be taken."""
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


HEADS = {"fc.weight": torch.ones(4, 2048), "fc.bias": torch.ones(4)}


def layouts(own: dict[str, Tensor]) -> dict[str, dict]:
    old = {name: t for name, t in own.items() if not name.endswith("num_batches_tracked")}
    return {
        "torchvision": {**own, **HEADS},
        "MoCo v2": {
            "epoch": 800,
            "arch": "resnet50",
            "state_dict": {
                **with_prefix("module.encoder_k.", other(own)),
                **with_prefix("module.encoder_q.", {**own, "fc.0.weight": torch.ones(8, 8)}),
                "module.queue": torch.ones(128, 16),
                "module.queue_ptr": torch.zeros(1),
            },
            "optimizer": {"state": {}, "param_groups": [{"lr": 0.03}]},
        },
        "MoCo v3": {
            "state_dict": {
                **with_prefix("module.momentum_encoder.", other(own)),
                **with_prefix("module.base_encoder.", own),
            }
        },
        "SwAV": {
            **with_prefix("module.", old),
            "module.projection_head.0.weight": torch.ones(8, 8),
            "module.prototypes.weight": torch.ones(8, 8),
        },
        "DINO, backbone": old,
        "DINO, whole": {
            "student": with_prefix("module.backbone.", other(own)),
            "teacher": {
                **with_prefix("backbone.", own),
                "head.last_layer.weight_g": torch.ones(8, 1),
            },
        },
        "oBoW": {"network": old},
        "PixPro": {
            "model": {
                **with_prefix("module.encoder_k.", other(own)),
                **with_prefix("module.encoder.", own),
            }
        },
    }


NAMES = list(layouts({}))


@pytest.mark.parametrize("name", NAMES)
def test_every_published_layout_gives_the_same_backbone(
    name: str, own: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth.tar"
    torch.save(layouts(own)[name], path)

    loaded = load_resnet50(path, dilated=False).network.state_dict()

    assert loaded.keys() == own.keys()
    for key, tensor in own.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(loaded[key], tensor), key


def test_the_dilated_map_has_the_plain_one_at_every_eighth_place(
    own: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(own, path)
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 255, (2, 3, 64, 96), dtype=np.uint8))

    with torch.no_grad():
        fine = load_resnet50(path, dilated=True)(images)
        coarse = load_resnet50(path, dilated=False)(images)

    assert fine.shape == (2, 2048, 16, 24)
    assert coarse.shape == (2, 2048, 2, 3)
    torch.testing.assert_close(fine[:, :, ::8, ::8], coarse, rtol=1e-4, atol=1e-4)


def test_images_are_normalised_as_imagenets_are(own: dict[str, Tensor], tmp_path: Path) -> None:
    """Against torchvision's own network on an image normalised by hand."""
    path = tmp_path / "weights.pth"
    torch.save(own, path)
    model = load_resnet50(path, dilated=False)
    image = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    with torch.no_grad():
        pooled = model.network((image / 255 - mean) / std)
        torch.testing.assert_close(model(image).mean(dim=(2, 3)), pooled, rtol=1e-4, atol=1e-4)


def test_a_file_without_the_network_or_with_a_part_of_it_is_told(own: dict[str, Tensor]) -> None:
    path = Path("w.pth")
    with pytest.raises(UserError, match=r"none of its 1 tensors \(such as a\) is called conv1"):
        backbone_state({"a": torch.ones(1)}, path)
    with pytest.raises(UserError, match=r"none of its 0 tensors is called"):
        backbone_state({}, path)


def test_missing_tensors_are_counted(own: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({k: v for k, v in own.items() if not k.startswith("layer4.2")}, path)

    with pytest.raises(UserError, match=r"not hold weights of ResNet-50: of \d+ tensors \d+ are m"):
        load_resnet50(path, dilated=True)


def test_a_vision_transformer_is_no_resnet(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"cls_token": torch.ones(1, 1, 384)}, path)

    with pytest.raises(UserError, match=r"such as cls_token"):
        load_resnet50(path, dilated=True)


def test_half_precision_gives_half_floats_of_about_the_same(
    own: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(own, path)
    images = torch.randint(0, 255, (1, 3, 32, 32), dtype=torch.uint8)

    with torch.no_grad():
        full = load_resnet50(path, dilated=True)(images)
        half = load_resnet50(path, dilated=True, dtype=torch.bfloat16)(images)

    assert half.dtype == torch.bfloat16
    cosine = torch.nn.functional.cosine_similarity(half.float().flatten(), full.flatten(), dim=0)
    assert cosine > 0.99
