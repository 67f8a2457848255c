"""Small, randomly initialised models in the published file formats, so that no test downloads.

They find boxes and masks of no meaning; what is tested is how they are read, batched and combined.
"""

from pathlib import Path

import torch
import yaml
from torch import nn

from olivine.models.foundation.grounding_dino import GroundingDinoArchitecture, build_grounding_dino
from olivine.models.foundation.sam import SamArchitecture, build_sam
from olivine.models.foundation.torchvision_ops import ensure_torchvision

SAM = SamArchitecture(
    embed_dim=32,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    image_size_px=256,
    prompt_dim=32,
    decoder_mlp_dim=32,
)
DINO = GroundingDinoArchitecture(enc_layers=1, dec_layers=1, dim_feedforward=64, num_queries=40)
WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "barrier", "bicycle", "bus", "car"),
    *("motorcycle", "pedestrian", "traffic", "cone", "truck", "trailer", "construction", "vehicle"),
    *("road", "sidewalk", "terrain", "vegetation", "building", "other", "ground", "man", "tree"),
)


def shake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight a random value, those too that start at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return model


def write_bert(folder: Path) -> Path:
    """Write a text encoder's folder with a vocabulary of some thirty words."""
    ensure_torchvision()
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def write_grounding_dino(
    path: Path, bert: Path, architecture: GroundingDinoArchitecture = DINO
) -> Path:
    """Write a checkpoint as the published ones are: under "model", names beginning "module."."""
    torch.manual_seed(0)
    model = shake(build_grounding_dino(architecture, str(bert)))
    weights = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": weights}, path)
    _write_architecture(path, architecture.to_dict())
    return path


def write_sam(path: Path, architecture: SamArchitecture = SAM) -> Path:
    """Write a checkpoint as the published ones are: a plain dictionary of tensors."""
    torch.manual_seed(0)
    torch.save(shake(build_sam(architecture)).state_dict(), path)
    _write_architecture(path, architecture.to_dict())
    return path


def _write_architecture(path: Path, settings: dict[str, object]) -> None:
    path.with_name(path.name + ".yaml").write_text(yaml.safe_dump(settings))


def write_hf_grounding_dino(folder: Path) -> Path:
    """Write a detector's folder as transformers saves it, with its tokenizer."""
    ensure_torchvision()
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    torch.manual_seed(0)
    backbone = SwinConfig(
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=30,
    )
    shake(GroundingDinoForObjectDetection(config)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def write_hf_sam(folder: Path) -> Path:
    """Write SAM's folder as transformers saves it."""
    ensure_torchvision()
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    shake(SamModel(SamConfig(**HF_SAM_SIZES))).save_pretrained(folder)
    return folder


def write_hf_sam2(folder: Path) -> Path:
    """Write SAM 2's folder as transformers saves it."""
    ensure_torchvision()
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 2, 2],
        window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[3],
    )
    config = Sam2Config(
        vision_config=Sam2VisionConfig(
            backbone_config=backbone,
            backbone_channel_list=[128, 64, 32, 16],
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
            fpn_hidden_size=32,
        ),
        prompt_encoder_config={"hidden_size": 32, "image_size": 128},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 32},
    )
    shake(Sam2Model(config)).save_pretrained(folder)
    return folder


HF_SAM_SIZES = {
    "vision_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "global_attn_indexes": [1],
        "image_size": 256,
        "output_channels": 32,
        "mlp_dim": 128,
        "num_pos_feats": 16,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 256, "image_embedding_size": 16},
    "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 256},
}
