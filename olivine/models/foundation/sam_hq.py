"""The mask decoder of SAM-HQ on the package's SAM.

Ke et al., "Segment Anything in High Quality", NeurIPS 2023, section 3: one more output token, and
features of the image encoder's first global block fused with those of its last layer. The rest is
SAM's. The weights have the names of the published checkpoints.
"""

from typing import Any

import torch
from jaxtyping import Float
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP, MaskDecoder
from torch import Tensor, nn


class MaskDecoderHQ(MaskDecoder):
    """Adds SAM-HQ's mask to SAM's single one, as the published code does by default.

    `from_image_encoder` (1, rows, columns, channels) is the output of the image encoder's first
    global block for the image; it must be set before each call.
    """

    from_image_encoder: Tensor | None

    def __init__(self, *, image_dim: int, transformer_dim: int, **settings: Any):
        super().__init__(transformer_dim=transformer_dim, **settings)
        narrow, middle = transformer_dim // 8, transformer_dim // 4
        self.from_image_encoder = None
        self.hf_token = nn.Embedding(1, transformer_dim)
        self.hf_mlp = MLP(transformer_dim, transformer_dim, narrow, 3)
        self.compress_vit_feat = nn.Sequential(
            nn.ConvTranspose2d(image_dim, transformer_dim, kernel_size=2, stride=2),
            LayerNorm2d(transformer_dim),
            nn.GELU(),
            nn.ConvTranspose2d(transformer_dim, narrow, kernel_size=2, stride=2),
        )
        self.embedding_encoder = nn.Sequential(
            nn.ConvTranspose2d(transformer_dim, middle, kernel_size=2, stride=2),
            LayerNorm2d(middle),
            nn.GELU(),
            nn.ConvTranspose2d(middle, narrow, kernel_size=2, stride=2),
        )
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(narrow, middle, kernel_size=3, padding=1),
            LayerNorm2d(middle),
            nn.GELU(),
            nn.Conv2d(middle, narrow, kernel_size=3, padding=1),
        )

    def forward(
        self,
        image_embeddings: Float[Tensor, "1 dim low low"],
        image_pe: Float[Tensor, "1 dim low low"],
        sparse_prompt_embeddings: Float[Tensor, "boxes prompts dim"],
        dense_prompt_embeddings: Float[Tensor, "boxes dim low low"],
        multimask_output: bool,
    ) -> tuple[Float[Tensor, "boxes 1 high high"], Float[Tensor, "boxes 1"]]:
        """Return one mask of logits per prompt, and SAM's estimate of its quality."""
        assert not multimask_output, "SAM-HQ adds to SAM's single mask"
        assert self.from_image_encoder is not None
        fine = self.embedding_encoder(image_embeddings) + self.compress_vit_feat(
            self.from_image_encoder.permute(0, 3, 1, 2)
        )
        num_boxes = len(sparse_prompt_embeddings)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight, self.hf_token.weight])
        tokens = torch.cat([own.expand(num_boxes, -1, -1), sparse_prompt_embeddings], dim=1)
        source = image_embeddings.expand(num_boxes, -1, -1, -1) + dense_prompt_embeddings
        shape = source.shape
        seen, source = self.transformer(source, image_pe.expand(num_boxes, -1, -1, -1), tokens)
        up = self.output_upscaling(source.transpose(1, 2).view(shape))
        up_fine = self.embedding_maskfeature(up) + fine
        mask = _product(self.output_hypernetworks_mlps[0](seen[:, 1]), up)
        mask_fine = _product(self.hf_mlp(seen[:, 1 + self.num_mask_tokens]), up_fine)
        return mask + mask_fine, self.iou_prediction_head(seen[:, 0])[:, :1]


def _product(weights: Tensor, features: Tensor) -> Tensor:
    return torch.einsum("bc,bcij->bij", weights, features)[:, None]
