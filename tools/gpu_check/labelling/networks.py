"""Networks of published sizes, and small ones, of random weights, as transformers saves them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from olivine.labels.labellers.grounded_sam import GroundedSam

SEGMENTERS = {"sam": "SAM ViT-H", "sam2": "SAM 2 hiera-large"}
SMALL_SIDE_PX = {"sam": 256, "sam2": 128}  # of the square that a small network sees

_SWIN_T = {
    "embed_dim": 96,
    "depths": [2, 2, 6, 2],
    "num_heads": [3, 6, 12, 24],
    "window_size": 7,
}
_SMALL_SWIN = {
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 2],
    "window_size": 4,
}
_SMALL_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_SMALL_DINO = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 100,
}
_VIT_H = {
    "vision_config": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
        "mlp_dim": 5120,
    }
}
_SMALL_SAM = {
    "vision_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "global_attn_indexes": [1],
        "image_size": SMALL_SIDE_PX["sam"],
        "output_channels": 32,
        "mlp_dim": 128,
        "num_pos_feats": 16,
    },
    "prompt_encoder_config": {
        "hidden_size": 32,
        "image_size": SMALL_SIDE_PX["sam"],
        "image_embedding_size": SMALL_SIDE_PX["sam"] // 16,
    },
    "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 256},
}
_HIERA_L = {
    "hidden_size": 144,
    "num_attention_heads": 2,
    "blocks_per_stage": [2, 6, 36, 4],
    "embed_dim_per_stage": [144, 288, 576, 1152],
    "num_attention_heads_per_stage": [2, 4, 8, 16],
    "window_size_per_stage": [8, 4, 16, 8],
    "global_attention_blocks": [23, 33, 43],
}
_SMALL_HIERA = {
    "hidden_size": 16,
    "num_attention_heads": 1,
    "image_size": [SMALL_SIDE_PX["sam2"]] * 2,
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [16, 32, 64, 128],
    "num_attention_heads_per_stage": [1, 2, 2, 2],
    "window_positional_embedding_background_size": [4, 4],
    "global_attention_blocks": [3],
}
_SMALL_SAM2 = {
    "prompt_encoder_config": {"hidden_size": 32, "image_size": SMALL_SIDE_PX["sam2"]},
    "mask_decoder_config": {
        "hidden_size": 32,
        "mlp_dim": 32,
        "iou_head_hidden_dim": 32,
        "dynamic_multimask_via_stability": False,  # it chooses among near equals
    },
}


def write_detector(folder: Path) -> Path:
    """Write a small GroundingDINO and its tokenizer."""
    _write(detector("cpu", is_small=True), folder)
    tokenizer(folder).save_pretrained(folder)
    return folder


def write_segmenter(folder: Path, kind: str) -> Path:
    """Write a small SAM or SAM 2."""
    return _write(segmenter(kind, "cpu", is_small=True), folder)


def _write(model: Any, folder: Path) -> Path:
    """Write a network in float16; it is read as float32."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model.half().save_pretrained(folder)
    return folder


def tokenizer(folder: Path) -> Any:
    """Return BERT's tokenizer with a vocabulary of the prompts' words, which the folder gets."""
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."]
    texts = GroundedSam().vocabulary.texts
    words += sorted({word for text in texts for word in text.split()})
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n")
    return BertTokenizerFast(str(vocabulary))


def detector(device: str, is_small: bool) -> Any:
    """Return GroundingDINO with Swin-T (or a small one)."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    swin, bert = (_SMALL_SWIN, _SMALL_BERT) if is_small else (_SWIN_T, {})
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(**swin, out_features=["stage2", "stage3", "stage4"]),
        text_config=BertConfig(**bert),
        **(_SMALL_DINO if is_small else {}),
    )
    model = _random(GroundingDinoForObjectDetection, config, device)
    # Without training, a box's score would be the sigmoid of a product of two rows of norm 16,
    # which is 1.0 for hundreds of boxes.
    with torch.no_grad():
        model.model.decoder.layer_norm.weight.mul_(0.1)
    return model


def segmenter(kind: str, device: str, is_small: bool) -> Any:
    """Return SAM with ViT-H or SAM 2 with hiera-large (or a small one)."""
    import transformers

    if kind == "sam":
        sizes = _SMALL_SAM if is_small else _VIT_H
        return _random(transformers.SamModel, transformers.SamConfig(**sizes), device)
    channels = [128, 64, 32, 16] if is_small else [1152, 576, 288, 144]
    small = {"backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]], "fpn_hidden_size": 32}
    vision = transformers.Sam2VisionConfig(
        backbone_config=transformers.Sam2HieraDetConfig(**(_SMALL_HIERA if is_small else _HIERA_L)),
        backbone_channel_list=channels,
        **(small if is_small else {}),
    )
    config = transformers.Sam2Config(vision_config=vision, **(_SMALL_SAM2 if is_small else {}))
    return _random(transformers.Sam2Model, config, device)


def _random(network: Any, config: Any, device: str) -> nn.Module:
    """Return a network of random weights, none of which stays the zero that some begin as."""
    torch.manual_seed(0)
    with torch.device(device):  # a GPU draws the weights of ViT-H in a moment
        model: nn.Module = network(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return model
