"""SAM and SAM-HQ of the package segment-anything, from the original checkpoint files.

Images are encoded in a batch, and all boxes of an image are decoded together (Kirillov et al.,
"Segment Anything", ICCV 2023). The package's own classes are used unchanged.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from olivine.core.devices import autocast
from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.models.foundation.architecture import read_architecture
from olivine.models.foundation.torchvision_ops import ensure_torchvision
from olivine.models.weights import load_into, published, read_state, verify

BOXES_AT_ONCE = 64  # decoded together; a mask of each at a quarter of the model's side


class SamArchitecture(Spec):
    """The sizes of a SAM; the defaults are those that all published ones share."""

    embed_dim: int = Field(description="Channels of the image encoder.")
    depth: int = Field(description="Number of blocks of the image encoder.")
    num_heads: int = Field(description="Attention heads per block of the image encoder.")
    global_attn_indexes: tuple[int, ...] = Field(
        description="Blocks that attend over the whole image, counted from 0."
    )
    image_size_px: int = Field(
        default=1024, description="Side (px) of the square that images are scaled and padded to."
    )
    prompt_dim: int = Field(
        default=256, description="Channels of the prompts and of the encoded image."
    )
    decoder_mlp_dim: int = Field(
        default=2048, description="Channels of the mask decoder's hidden features."
    )
    hq: bool = Field(default=False, description="Whether the decoder is that of SAM-HQ.")


VIT_B = SamArchitecture(embed_dim=768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11))
VIT_L = SamArchitecture(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23))
VIT_H = SamArchitecture(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31))
PUBLISHED = {
    "sam_vit_b": VIT_B,
    "sam_vit_l": VIT_L,
    "sam_vit_h": VIT_H,
    "sam_hq_vit_h": VIT_H.replace(hq=True),
}


def load_sam(name: str) -> Any:
    """Return the package's Sam in eval mode, with published weights or those of a file.

    Raises UserError for weights that are missing, wrong or of another architecture.
    """
    path = verify(name)
    if name in PUBLISHED:
        architecture = PUBLISHED[name]
    elif name in published():
        raise UserError(f"{name!r} is no SAM; allowed are {', '.join(PUBLISHED)} or your own file.")
    else:
        architecture = read_architecture(path, SamArchitecture)
    model = build_sam(architecture)
    load_into(model, read_state(path), path, f"SAM with {_describe(architecture)}")
    return model.eval().requires_grad_(False)


def build_sam(architecture: SamArchitecture) -> nn.Module:
    """Return an untrained Sam; raise UserError if the package is not installed."""
    ensure_torchvision()
    try:
        from segment_anything.modeling import (
            ImageEncoderViT,
            MaskDecoder,
            PromptEncoder,
            Sam,
            TwoWayTransformer,
        )
    except ImportError:
        raise UserError(
            "This labeller needs the package segment-anything: "
            "`pip install 'olivine[grounded-sam]'`."
        ) from None

    side, dim = architecture.image_size_px, architecture.prompt_dim
    encoder = ImageEncoderViT(
        img_size=side,
        patch_size=16,
        embed_dim=architecture.embed_dim,
        depth=architecture.depth,
        num_heads=architecture.num_heads,
        mlp_ratio=4,
        out_chans=dim,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=architecture.global_attn_indexes,
    )
    prompts = PromptEncoder(
        embed_dim=dim,
        image_embedding_size=(side // 16, side // 16),
        input_image_size=(side, side),
        mask_in_chans=16,
    )
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=dim, mlp_dim=architecture.decoder_mlp_dim, num_heads=8
    )
    settings: dict[str, Any] = {
        "transformer": transformer,
        "transformer_dim": dim,
        "num_multimask_outputs": 3,
        "iou_head_depth": 3,
        "iou_head_hidden_dim": 256,
    }
    decoder: nn.Module
    if architecture.hq:
        from olivine.models.foundation.sam_hq import MaskDecoderHQ

        decoder = MaskDecoderHQ(image_dim=architecture.embed_dim, **settings)
    else:
        decoder = MaskDecoder(**settings)
    return Sam(
        encoder, prompts, decoder, pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )  # fmt: skip


class SamSegmenter:
    """A loaded SAM that turns boxes into masks."""

    def __init__(self, model: Any, device: torch.device, dtype: torch.dtype):
        self.model = model.to(device)
        self._device, self._dtype = device, dtype
        self._first_global: list[
            Tensor
        ] = []  # the features that SAM-HQ reads besides the last layer
        if hasattr(model.mask_decoder, "from_image_encoder"):
            blocks = model.image_encoder.blocks
            first = next(block for block in blocks if block.window_size == 0)
            first.register_forward_hook(lambda _block, _input, output: self._keep(output))

    @property
    def side_px(self) -> int:
        """The side of the square that the encoder sees."""
        return int(self.model.image_encoder.img_size)

    def encode(self, images: UInt8[Tensor, "images 3 rows columns"]) -> list[Any]:
        """Return the features of each image, which `decode` takes."""
        self._first_global.clear()
        with torch.inference_mode(), autocast(self._device, self._dtype):
            last = self.model.image_encoder(self.prepare(images))
        if not self._first_global:
            return list(last[:, None])
        return list(zip(last[:, None], self._first_global.pop()[:, None], strict=True))

    def prepare(
        self, images: UInt8[Tensor, "images 3 rows columns"]
    ) -> Float[Tensor, "images 3 side side"]:
        """Scale the longest side to the encoder's, normalise, and pad at the bottom and right."""
        rows, columns = scaled_size(images.shape[2:], self.side_px)
        values = images.to(self._device, torch.float32)
        if (rows, columns) != tuple(images.shape[2:]):
            values = F.interpolate(values, (rows, columns), mode="bilinear", antialias=True)
        values = (values - self.model.pixel_mean) / self.model.pixel_std
        return F.pad(values, (0, self.side_px - columns, 0, self.side_px - rows))

    def decode(
        self,
        encoded: Any,
        boxes_px: Float[Tensor, "boxes 4"],
        size_px: tuple[int, int],
    ) -> Float[Tensor, "boxes low low"]:
        """Return one mask of logits per box (x0, y0, x1, y1 in the image's pixels).

        Masks cover the padded square at a quarter of its side; `restore` brings them to the image's
        size.
        """
        if not len(boxes_px):
            return boxes_px.new_zeros((0, 1, 1))
        rows, columns = scaled_size(size_px, self.side_px)
        scale = torch.tensor([columns / size_px[1], rows / size_px[0]] * 2, device=boxes_px.device)
        masks = []
        with torch.inference_mode(), autocast(self._device, self._dtype):
            for some in (boxes_px * scale).split(BOXES_AT_ONCE):
                sparse, dense = self.model.prompt_encoder(points=None, boxes=some, masks=None)
                if isinstance(encoded, tuple):
                    self.model.mask_decoder.from_image_encoder = encoded[1]
                low, _ = self.model.mask_decoder(
                    image_embeddings=encoded[0] if isinstance(encoded, tuple) else encoded,
                    image_pe=self.model.prompt_encoder.get_dense_pe(),
                    sparse_prompt_embeddings=sparse,
                    dense_prompt_embeddings=dense,
                    multimask_output=False,
                )
                masks.append(low[:, 0].float())
        return torch.cat(masks)

    def restore(
        self, masks: Float[Tensor, "boxes low low"], size_px: tuple[int, int]
    ) -> Float[Tensor, "boxes rows columns"]:
        """Enlarge masks to the padded square, remove the padding and scale them to the image."""
        rows, columns = scaled_size(size_px, self.side_px)
        if not len(masks):
            return masks.new_zeros((0, *size_px))
        square = F.interpolate(masks[:, None], (self.side_px, self.side_px), mode="bilinear")
        return F.interpolate(square[..., :rows, :columns], size_px, mode="bilinear")[:, 0]

    def _keep(self, output: Tensor) -> None:
        self._first_global[:] = [output]


def scaled_size(size_px: Any, side_px: int) -> tuple[int, int]:
    """Return rows and columns of an image whose longest side is scaled to `side_px`."""
    rows, columns = int(size_px[0]), int(size_px[1])
    scale = side_px / max(rows, columns)
    return int(rows * scale + 0.5), int(columns * scale + 0.5)


def _describe(architecture: SamArchitecture) -> str:
    kind = "SAM-HQ's decoder" if architecture.hq else "the original decoder"
    return f"{architecture.depth} blocks of {architecture.embed_dim} channels and {kind}"
