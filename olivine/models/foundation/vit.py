"""Vision transformers of DINO and DINOv2 as maps of patch features.

Caron et al., ICCV 2021; Oquab et al., 2024. The networks are timm's, which reads the authors' files
by name; positions of images of another size are interpolated by its rule.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from olivine.core.errors import UserError
from olivine.models.foundation.backbone_files import find_backbone
from olivine.models.foundation.image_input import ImageNetwork
from olivine.models.foundation.published_sizes import TRANSFORMERS
from olivine.models.foundation.torchvision_ops import ensure_torchvision
from olivine.models.weights import load_state, read_state

FIRST = "patch_embed.proj.weight"
PARTS = ("cls_token", "pos_embed", "patch_embed.", "blocks.", "norm.", "register_tokens")


class VisionTransformer(ImageNetwork):
    """From uint8 (images, 3, rows, columns) to a feature per patch.

    With `normed` features have gone through the last layer norm, as DINO's own; ScaLR takes those
    before it (method.md §3.4).
    """

    def __init__(self, architecture: str, *, normed: bool, dtype: torch.dtype = torch.float32):
        ensure_torchvision()  # timm imports it
        from timm import create_model

        chosen = TRANSFORMERS[architecture]
        network = create_model(
            chosen.timm_name, pretrained=False, num_classes=0, dynamic_img_size=True
        )
        super().__init__(network, dtype)
        self.patch_px, self.normed = chosen.patch_px, normed

    def features(self, pixels: Float[Tensor, "n 3 rows columns"]) -> Float[Tensor, "n D r c"]:
        """Return the last block's patches; raise UserError for an image that is no whole grid."""
        size = tuple(pixels.shape[2:])
        if any(side % self.patch_px for side in size):
            raise UserError(
                f"Images of {size[0]} x {size[1]} pixels are no whole number of patches of "
                f"{self.patch_px}: set rows_px and columns_px of pretrained.augmentations."
                f"crop_images to multiples of {self.patch_px}, such as 224 and 448."
            )
        (found,) = self.network.forward_intermediates(
            pixels, indices=1, norm=self.normed, output_fmt="NCHW", intermediates_only=True
        )
        return found


def load_vit(
    path: Path, architecture: str, *, normed: bool, dtype: torch.dtype = torch.float32
) -> VisionTransformer:
    """Return the network with the weights of a file.

    Raises UserError for a file of another architecture, or of which a tensor is missing.
    """
    model = VisionTransformer(architecture, normed=normed, dtype=dtype)
    from timm.models.vision_transformer import checkpoint_filter_fn

    state = find_backbone(
        read_state(path), path, architecture=architecture, first=FIRST, keeps=PARTS
    )
    own = model.network.state_dict()
    if state[FIRST].shape == own[FIRST].shape:  # else its own message says what differs
        state = checkpoint_filter_fn(state, model.network)
    load_state(model.network, state, path, architecture)
    return model.eval()
