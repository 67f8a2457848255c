"""DINO and DINOv2 transformers: the authors' files, another library's numbers, and what is told."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from olivine.core.errors import UserError
from olivine.models.foundation.published_sizes import TRANSFORMERS
from olivine.models.foundation.torchvision_ops import ensure_torchvision
from olivine.models.foundation.vit import VisionTransformer, load_vit

IMAGE = torch.randint(
    0, 255, (1, 3, 56, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def in_authors_names(model: VisionTransformer) -> dict[str, Tensor]:
    """Return a network's weights as DINOv2's files name them, all of them random."""
    generator = torch.Generator().manual_seed(1)
    state = model.network.state_dict()
    random = {
        name: 0.05 * torch.randn(tensor.shape, generator=generator)
        + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for name, tensor in state.items()
    }
    return {**random, "mask_token": torch.zeros(1, state["cls_token"].shape[-1])}


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "dinov2_vits14_pretrain.pth"
    torch.save(in_authors_names(VisionTransformer("dinov2_vits14", normed=False)), path)
    return path


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return DINOv2's weights by the names of transformers' Dinov2Model."""
    renamed = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.mask_token": state["mask_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for name, tensor in state.items():
        if not (match := re.match(r"blocks\.(\d+)\.(.*)", name)):
            continue
        layer, rest = f"encoder.layer.{match[1]}", match[2]
        if rest.startswith("attn.qkv"):
            kind = rest.rpartition(".")[2]
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{layer}.attention.attention.{part}.{kind}"] = piece
            continue
        for ours, theirs in (
            ("attn.proj", "attention.output.dense"),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
        ):
            rest = rest.replace(ours, theirs)
        renamed[f"{layer}.{rest}"] = tensor
    return renamed


@pytest.mark.slow
@pytest.mark.parametrize("normed", [False, True])
def test_features_are_those_of_transformers_at_the_size_it_was_trained_with(
    dinov2: Path, normed: bool
) -> None:
    """At other sizes the two libraries interpolate positions differently."""
    ensure_torchvision()  # transformers imports it
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14
    )
    theirs = Dinov2Model(config).eval()
    theirs.load_state_dict(to_transformers(torch.load(dinov2)))
    ours = load_vit(dinov2, "dinov2_vits14", normed=normed)
    image = torch.randint(0, 255, (1, 3, 518, 518), dtype=torch.uint8)

    with torch.no_grad():
        found = ours(image).flatten(2).transpose(1, 2)
        answer = theirs((image - ours.mean) / ours.std, output_hidden_states=True)

    expected = answer.last_hidden_state if normed else answer.hidden_states[-1]
    torch.testing.assert_close(found, expected[:, 1:], rtol=1e-3, atol=1e-3)


def test_other_sizes_give_a_feature_per_patch(dinov2: Path) -> None:
    with torch.no_grad():
        maps = load_vit(dinov2, "dinov2_vits14", normed=False)(IMAGE)

    assert maps.shape == (1, 384, 4, 6)
    assert maps.isfinite().all()


@pytest.mark.parametrize("whole", [False, True])
def test_dinos_files_are_read_alone_and_as_whole_checkpoints(tmp_path: Path, whole: bool) -> None:
    model = VisionTransformer("dino_vits16", normed=True)
    state = model.network.state_dict()
    path, image = tmp_path / "dino.pth", IMAGE[..., :48, :80]
    if whole:
        zeros = {f"module.backbone.{k}": torch.zeros_like(v) for k, v in state.items()}
        teacher = {f"backbone.{k}": v for k, v in state.items()}
        torch.save({"student": zeros, "teacher": teacher, "epoch": 100}, path)
    else:
        torch.save(state, path)

    with torch.no_grad():
        found = load_vit(path, "dino_vits16", normed=True)(image)
        torch.testing.assert_close(found, model.eval()(image))
    assert found.shape == (1, 384, 3, 5)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_channels_and_patches_are_the_architectures(name: str) -> None:
    with torch.device("meta"):
        from timm import create_model

        network = create_model(TRANSFORMERS[name].timm_name, num_classes=0)
    patch = TRANSFORMERS[name].patch_px
    assert network.patch_embed.proj.weight.shape[0] == TRANSFORMERS[name].num_channels
    assert network.patch_embed.proj.weight.shape[2:] == (patch, patch)


def test_what_does_not_fit_is_told(dinov2: Path, tmp_path: Path) -> None:
    model = load_vit(dinov2, "dinov2_vits14", normed=False)
    with pytest.raises(UserError, match=r"56 x 83 pixels are no whole number of patches of 14"):
        model(IMAGE[..., :83])
    with pytest.raises(UserError, match=r"not hold weights of dinov2_vitb14: .* another shape"):
        load_vit(dinov2, "dinov2_vitb14", normed=False)
    with pytest.raises(UserError, match=r"not hold weights of dino_vits16: "):
        load_vit(dinov2, "dino_vits16", normed=False)
    short = torch.load(dinov2)
    del short["blocks.3.norm1.weight"]
    torch.save(short, tmp_path / "short.pth")
    with pytest.raises(UserError, match=r"1 are missing \(such as blocks.3.norm1.weight\)"):
        load_vit(tmp_path / "short.pth", "dinov2_vits14", normed=False)
    torch.save({"conv1.weight": torch.ones(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"is called patch_embed.proj.weight"):
        load_vit(tmp_path / "resnet.pth", "dinov2_vits14", normed=False)
