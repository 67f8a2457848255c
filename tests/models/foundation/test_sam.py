import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from olivine.core.errors import UserError
from olivine.models.foundation.sam import (
    SamArchitecture,
    SamSegmenter,
    build_sam,
    load_sam,
    scaled_size,
)
from tests.support.foundation_models import HF_SAM_SIZES, SAM, shake, write_sam

CPU = torch.device("cpu")
SCALE = torch.tensor([256 / 180, 171 / 120] * 2)  # from the images of these tests to the square
BOXES = torch.tensor([[5.0, 10, 150, 100], [40, 3, 60, 30], [0, 0, 179, 119], [90, 60, 170, 110]])


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand((3, 3, 6, 9), generator=generator) * 255
    return F.interpolate(coarse, (120, 180), mode="bilinear").to(torch.uint8)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> SamSegmenter:
    path = write_sam(tmp_path_factory.mktemp("sam") / "small.pth")
    return SamSegmenter(load_sam(str(path)), CPU, torch.float32)


def masks_of(segmenter: SamSegmenter, images: Tensor) -> list[Tensor]:
    size = (images.shape[2], images.shape[3])
    return [
        segmenter.restore(segmenter.decode(encoded, BOXES, size), size)
        for encoded in segmenter.encode(images)
    ]


def test_a_batch_and_all_boxes_equal_the_packages_one_image_and_one_box(
    segmenter: SamSegmenter, images: Tensor
) -> None:
    from segment_anything import SamPredictor

    ours = masks_of(segmenter, images)

    predictor = SamPredictor(segmenter.model)
    for image, found in zip(images, ours, strict=True):
        scaled = F.interpolate(image[None].float(), (171, 256), mode="bilinear", antialias=True)
        predictor.set_torch_image(scaled, (120, 180))
        for box, mask in zip(BOXES, found, strict=True):
            placed = predictor.transform.apply_boxes_torch(box[None], (120, 180))
            theirs, _, _ = predictor.predict_torch(
                None, None, placed, multimask_output=False, return_logits=True
            )
            torch.testing.assert_close(mask, theirs[0, 0], atol=1e-4, rtol=1e-4)


def test_more_boxes_than_go_at_once_change_nothing(
    segmenter: SamSegmenter, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = masks_of(segmenter, images[:1])
    monkeypatch.setattr("olivine.models.foundation.sam.BOXES_AT_ONCE", 3)

    torch.testing.assert_close(masks_of(segmenter, images[:1]), together, atol=1e-5, rtol=1e-5)


def test_no_box_gives_no_mask(segmenter: SamSegmenter, images: Tensor) -> None:
    encoded = segmenter.encode(images[:1])[0]

    low = segmenter.decode(encoded, torch.zeros((0, 4)), (120, 180))

    assert segmenter.restore(low, (120, 180)).shape == (0, 120, 180)


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((900, 1600), (576, 1024)), ((1600, 900), (1024, 576)), ((7, 7), (1024, 1024))],
)
def test_the_longest_side_is_scaled(size: tuple[int, int], scaled: tuple[int, int]) -> None:
    assert scaled_size(size, 1024) == scaled


def test_weights_give_the_same_masks_in_transformers(
    segmenter: SamSegmenter, images: Tensor
) -> None:
    from transformers import SamConfig, SamModel

    other = SamModel(SamConfig(**HF_SAM_SIZES)).eval()
    other.load_state_dict(renamed(segmenter.model.state_dict()))

    ours = segmenter.decode(segmenter.encode(images[:1])[0], BOXES, (120, 180))

    with torch.inference_mode():
        theirs = other(
            pixel_values=segmenter.prepare(images[:1]),
            input_boxes=(BOXES * SCALE)[None],
            multimask_output=False,
        ).pred_masks[0, :, 0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_hq_mask_is_what_transformers_modules_give(images: Tensor) -> None:
    """Its own forward is not the oracle: it upsamples its input, not its transformer's output."""
    from transformers import SamHQConfig, SamHQModel

    torch.manual_seed(0)
    segmenter = SamSegmenter(
        shake(build_sam(SAM.override({"hq": True}))).eval(), CPU, torch.float32
    )
    decoder_config = {**HF_SAM_SIZES["mask_decoder_config"], "vit_dim": 32}
    other = SamHQModel(
        SamHQConfig(**{**HF_SAM_SIZES, "mask_decoder_config": decoder_config})
    ).eval()
    other.load_state_dict(renamed(segmenter.model.state_dict()))
    decoder = other.mask_decoder

    ours = segmenter.decode(segmenter.encode(images[:1])[0], BOXES, (120, 180))

    with torch.inference_mode():
        last, inner = other.get_image_embeddings(segmenter.prepare(images[:1]))
        sparse, dense = other.prompt_encoder(None, None, (BOXES * SCALE)[None], None)
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight, decoder.hq_token.weight]
        tokens = torch.cat([torch.cat(own).expand(1, 4, -1, -1), sparse], dim=2)
        where = other.get_image_wide_positional_embeddings()
        seen, source = decoder.transformer(
            point_embeddings=tokens,
            image_embeddings=(last + dense).expand(4, -1, -1, -1),
            image_positional_embeddings=where.expand(4, -1, -1, -1),
            attention_similarity=None,
            target_embedding=None,
        )
        up = decoder.upscale_conv1(source[:, 0].transpose(1, 2).reshape(4, 32, 16, 16))
        up = F.gelu(decoder.upscale_conv2(F.gelu(decoder.upscale_layer_norm(up))))
        fine = decoder.encoder_conv2(F.gelu(decoder.encoder_norm(decoder.encoder_conv1(last))))
        inner_map = decoder.compress_vit_conv1(inner[0].permute(0, 3, 1, 2))
        fine = fine + decoder.compress_vit_conv2(F.gelu(decoder.compress_vit_norm(inner_map)))
        up_fine = decoder.mask_conv2(F.gelu(decoder.mask_norm(decoder.mask_conv1(up)))) + fine
        plain = decoder.output_hypernetworks_mlps[0](seen[0, :, 1])
        theirs = torch.einsum("bc,bcij->bij", plain, up)
        theirs += torch.einsum("bc,bcij->bij", decoder.hq_mask_mlp(seen[0, :, 5]), up_fine)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the package's weights under transformers' names."""
    heads = r"(iou_prediction_head|output_hypernetworks_mlps\.\d+|hf_mlp)\.layers\."
    rules = [
        (r"^image_encoder\.", "vision_encoder."),
        (r"patch_embed\.proj", "patch_embed.projection"),
        (r"vision_encoder\.blocks", "vision_encoder.layers"),
        (r"\.norm(\d)\.", r".layer_norm\1."),
        (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
        (r"neck\.0", "neck.conv1"),
        (r"neck\.1", "neck.layer_norm1"),
        (r"neck\.2", "neck.conv2"),
        (r"neck\.3", "neck.layer_norm2"),
        (r"prompt_encoder\.point_embeddings", "prompt_encoder.point_embed"),
        (r"mask_downscaling\.0", "mask_embed.conv1"),
        (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
        (r"mask_downscaling\.3", "mask_embed.conv2"),
        (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
        (r"mask_downscaling\.6", "mask_embed.conv3"),
        (heads + "0", r"\1.proj_in"),
        (heads + "1", r"\1.layers.0"),
        (heads + "2", r"\1.proj_out"),
        (r"output_upscaling\.0", "upscale_conv1"),
        (r"output_upscaling\.1", "upscale_layer_norm"),
        (r"output_upscaling\.3", "upscale_conv2"),
        ("hf_token", "hq_token"),
        ("hf_mlp", "hq_mask_mlp"),
        (r"compress_vit_feat\.0", "compress_vit_conv1"),
        (r"compress_vit_feat\.1", "compress_vit_norm"),
        (r"compress_vit_feat\.3", "compress_vit_conv2"),
        (r"embedding_encoder\.0", "encoder_conv1"),
        (r"embedding_encoder\.1", "encoder_norm"),
        (r"embedding_encoder\.3", "encoder_conv2"),
        (r"embedding_maskfeature\.0", "mask_conv1"),
        (r"embedding_maskfeature\.1", "mask_norm"),
        (r"embedding_maskfeature\.3", "mask_conv2"),
        (
            r"prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix",
            "shared_image_embedding.positional_embedding",
        ),
    ]
    new = {}
    for name, value in state.items():
        renamed = name
        for pattern, replacement in rules:
            renamed = re.sub(pattern, replacement, renamed)
        new[renamed] = value
    shared = new["shared_image_embedding.positional_embedding"]
    return {**new, "prompt_encoder.shared_embedding.positional_embedding": shared}


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = write_sam(tmp_path / "small.pth")
    about = path.with_name("small.pth.yaml")
    about.write_text(about.read_text().replace("depth: 2", "depth: 3"))

    with pytest.raises(UserError, match=r"SAM with 3 blocks of 32 channels .* \d+ are missing"):
        load_sam(str(path))


def test_a_file_without_its_architecture_is_refused(tmp_path: Path) -> None:
    path = write_sam(tmp_path / "small.pth")
    path.with_name("small.pth.yaml").unlink()

    with pytest.raises(UserError, match=r"architecture must stand in .*small.pth.yaml.* embed_dim"):
        load_sam(str(path))


def test_weights_of_another_model_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"missing|no SAM"):
        load_sam("bert-base-uncased")


def test_published_architectures_have_their_published_sizes() -> None:
    from olivine.models.foundation.sam import PUBLISHED

    sizes = {
        name: sum(weight.numel() for weight in build_on_meta(architecture).parameters())
        for name, architecture in PUBLISHED.items()
    }
    # four bytes a weight: the published files hold little else (weights.csv)
    assert sizes["sam_vit_b"] * 4 == pytest.approx(375_042_383, rel=1e-3)
    assert sizes["sam_vit_l"] * 4 == pytest.approx(1_249_524_607, rel=1e-3)
    assert sizes["sam_vit_h"] * 4 == pytest.approx(2_564_550_879, rel=1e-3)
    assert sizes["sam_hq_vit_h"] * 4 == pytest.approx(2_570_940_653, rel=1e-3)


def build_on_meta(architecture: SamArchitecture) -> torch.nn.Module:
    with torch.device("meta"):
        return build_sam(architecture)


def test_images_are_prepared_as_the_package_does(segmenter: SamSegmenter, images: Tensor) -> None:
    from segment_anything.utils.transforms import ResizeLongestSide

    scaled = ResizeLongestSide(256).apply_image(images[0].permute(1, 2, 0).numpy())
    theirs = segmenter.model.preprocess(torch.from_numpy(scaled.copy()).permute(2, 0, 1)[None])

    one_level = 1 / 57  # the package rounds to whole grey levels, we do not
    assert (segmenter.prepare(images[:1]) - theirs).abs().max() < 1.1 * one_level
