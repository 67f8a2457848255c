"""GroundingDINO of the package groundingdino-py, from the original checkpoint files.

Liu et al., "Grounding DINO", ECCV 2024. The text encoder, BERT, comes from a local folder.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
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
from olivine.models.foundation.captions import caption_of, prompt_tokens
from olivine.models.foundation.torchvision_ops import ensure_torchvision
from olivine.models.weights import load_into, published, read_state, verify

# ImageNet's mean and standard deviation of RGB in 0..1, with which the models were trained
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PUBLISHED = {
    "groundingdino_swint_ogc": "swin_T_224_1k",
    "groundingdino_swinb_cogcoor": "swin_B_384_22k",
}


class GroundingDinoArchitecture(Spec):
    """The sizes of a GroundingDINO; the defaults are those of the published Swin-T."""

    backbone: str = Field(
        default="swin_T_224_1k",
        description="Name of the image backbone, as groundingdino-py has it.",
    )
    enc_layers: int = Field(default=6, description="Number of encoder layers.")
    dec_layers: int = Field(default=6, description="Number of decoder layers.")
    dim_feedforward: int = Field(
        default=2048, description="Channels of the layers' hidden features."
    )
    num_queries: int = Field(default=900, description="Number of boxes that an image gets.")


# Settings that all published models share, by the names of the package's configurations.
_SHARED = {
    "modelname": "groundingdino",
    "position_embedding": "sine",
    "pe_temperatureH": 20,
    "pe_temperatureW": 20,
    "return_interm_indices": [1, 2, 3],
    "backbone_freeze_keywords": None,
    "pre_norm": False,
    "dropout": 0.0,
    "hidden_dim": 256,
    "nheads": 8,
    "query_dim": 4,
    "num_patterns": 0,
    "num_feature_levels": 4,
    "enc_n_points": 4,
    "dec_n_points": 4,
    "two_stage_type": "standard",
    "two_stage_bbox_embed_share": False,
    "two_stage_class_embed_share": False,
    "transformer_activation": "relu",
    "dec_pred_bbox_embed_share": True,
    "dn_box_noise_scale": 1.0,
    "dn_label_noise_ratio": 0.5,
    "dn_labelbook_size": 2000,
    "embed_init_tgt": True,
    "max_text_len": 256,
    "use_text_enhancer": True,
    "use_fusion_layer": True,
    "use_checkpoint": False,  # they save memory in training only
    "use_transformer_ckpt": False,
    "use_text_cross_attention": True,
    "text_dropout": 0.0,
    "fusion_dropout": 0.0,
    "fusion_droppath": 0.1,
    "sub_sentence_present": True,
}


def load_grounding_dino(name: str, text_encoder: str) -> nn.Module:
    """Return the package's model in eval mode, with published weights or those of a file.

    Raises UserError for weights or a text encoder that are missing, wrong or of another
    architecture.
    """
    path = verify(name)
    if name in PUBLISHED:
        architecture = GroundingDinoArchitecture(backbone=PUBLISHED[name])
    elif name in published():
        raise UserError(
            f"{name!r} is no GroundingDINO; allowed are {', '.join(PUBLISHED)} or your own file."
        )
    else:
        architecture = read_architecture(path, GroundingDinoArchitecture)
    model = build_grounding_dino(architecture, text_encoder)
    state = read_state(path)
    weights = {
        key.removeprefix("module."): value for key, value in state.get("model", state).items()
    }
    # Older versions of transformers wrote it; the model computes it when it is built.
    weights.pop("bert.embeddings.position_ids", None)
    load_into(
        model, _shared_names(model, weights), path, f"GroundingDINO with {architecture.backbone}"
    )
    return model.eval().requires_grad_(False)


def build_grounding_dino(architecture: GroundingDinoArchitecture, text_encoder: str) -> nn.Module:
    """Return a model whose text encoder alone has trained weights.

    Raises UserError if the package or the text encoder's folder is not there.
    """
    ensure_torchvision()
    folder = verify(text_encoder)
    with _quiet():
        try:
            from groundingdino.models import build_model
            from groundingdino.util.slconfig import SLConfig
        except ImportError as error:
            raise UserError(
                f"The engine 'packages' needs groundingdino-py ({error}): `pip install "
                "'olivine[grounded-sam]'`, or choose the engine 'transformers'."
            ) from None
        settings = {**_SHARED, **architecture.to_dict(), "text_encoder_type": str(folder)}
        try:
            return build_model(SLConfig(settings))
        except AttributeError as error:
            import transformers

            raise UserError(
                f"groundingdino-py does not work with transformers {transformers.__version__} "
                f"({error}): `pip install 'transformers<5'`, or choose the engine 'transformers'."
            ) from None
        except (OSError, ValueError, NotImplementedError) as error:
            raise UserError(
                f"Cannot build GroundingDINO with the text encoder {folder}: "
                f"{str(error).splitlines()[0]}"
            ) from None


class GroundingDinoDetector:
    """A loaded GroundingDINO that searches for one list of prompts."""

    def __init__(
        self, model: Any, prompts: Sequence[str], device: torch.device, dtype: torch.dtype
    ):
        self.model = model.to(device)
        self.caption = caption_of(prompts)
        self.prompt_tokens = prompt_tokens(model.tokenizer, prompts)
        self._device, self._dtype = device, dtype

    def __call__(
        self, images: UInt8[Tensor, "images 3 rows columns"], short_side_px: int, max_side_px: int
    ) -> tuple[Float[Tensor, "images queries tokens"], Float[Tensor, "images queries 4"]]:
        """Return each box's probability per token, and boxes (centre x, y, width, height; 0..1)."""
        pixels = prepare(images.to(self._device), short_side_px, max_side_px)
        with (
            torch.inference_mode(),
            autocast(self._device, self._dtype),
            _quiet(),
        ):
            found = self.model(pixels, captions=[self.caption] * len(pixels))
        return found["pred_logits"].float().sigmoid(), found["pred_boxes"].float()


def prepare(
    images: UInt8[Tensor, "images 3 rows columns"], short_side_px: int, max_side_px: int
) -> Float[Tensor, "images 3 working_rows working_columns"]:
    """Scale the short side to `short_side_px`, unless the long side would exceed `max_side_px`."""
    size = working_size(images.shape[2:], short_side_px, max_side_px)
    values = images.float() / 255
    if size != tuple(images.shape[2:]):
        values = F.interpolate(values, size, mode="bilinear", antialias=True).clamp(0, 1)
    mean = torch.tensor(MEAN, device=values.device)[:, None, None]
    return (values - mean) / torch.tensor(DEVIATION, device=values.device)[:, None, None]


def working_size(size_px: Any, short_side_px: int, max_side_px: int) -> tuple[int, int]:
    """Return the rows and columns that an image of `size_px` is scaled to."""
    rows, columns = int(size_px[0]), int(size_px[1])
    short, long = min(rows, columns), max(rows, columns)
    if long / short * short_side_px > max_side_px:
        short_side_px = round(max_side_px * short / long)
    if rows < columns:
        return short_side_px, int(short_side_px * columns / rows)
    return int(short_side_px * rows / columns), short_side_px


def _shared_names(model: nn.Module, weights: dict[str, Any]) -> dict[str, Any]:
    """Add the names under which the decoder's layers share a box head, if a file lacks them."""
    aliases = {
        key: "bbox_embed." + key.removeprefix("transformer.decoder.bbox_embed.")
        for key in model.state_dict()
        if key.startswith("transformer.decoder.bbox_embed.")
    }
    found = {alias: weights[key] for alias, key in aliases.items() if key in weights}
    return {**found, **weights}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the package's prints and deprecation warnings."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
