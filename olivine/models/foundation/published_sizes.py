"""Sizes of published image networks, without importing them."""

from dataclasses import dataclass

RESNET50_CHANNELS = 2048


@dataclass(frozen=True)
class TransformerSize:
    """One published transformer."""

    timm_name: str
    patch_px: int
    num_channels: int


TRANSFORMERS = {
    "dino_vits16": TransformerSize("vit_small_patch16_224", 16, 384),
    "dino_vits8": TransformerSize("vit_small_patch8_224", 8, 384),
    "dino_vitb16": TransformerSize("vit_base_patch16_224", 16, 768),
    "dino_vitb8": TransformerSize("vit_base_patch8_224", 8, 768),
    "dinov2_vits14": TransformerSize("vit_small_patch14_dinov2", 14, 384),
    "dinov2_vitb14": TransformerSize("vit_base_patch14_dinov2", 14, 768),
    "dinov2_vitl14": TransformerSize("vit_large_patch14_dinov2", 14, 1024),
    "dinov2_vits14_reg": TransformerSize("vit_small_patch14_reg4_dinov2", 14, 384),
    "dinov2_vitb14_reg": TransformerSize("vit_base_patch14_reg4_dinov2", 14, 768),
    "dinov2_vitl14_reg": TransformerSize("vit_large_patch14_reg4_dinov2", 14, 1024),
}
