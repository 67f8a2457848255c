"""GroundingDINO, SAM and SAM 2 of the package transformers, from local folders.

A folder is what `save_pretrained` or a download of the model's repository leaves: config.json,
safetensors and, for the detector, the tokenizer's files. Nothing is downloaded.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from olivine.core.devices import autocast
from olivine.core.errors import UserError
from olivine.models.foundation.captions import caption_of, prompt_tokens
from olivine.models.foundation.grounding_dino import prepare
from olivine.models.foundation.sam import BOXES_AT_ONCE, scaled_size
from olivine.models.weights import locate, verify

DETECTORS = {"grounding-dino": "GroundingDinoForObjectDetection"}
SEGMENTERS = {"sam": "SamModel", "sam2": "Sam2Model"}
_SAM_MEAN, _SAM_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class HuggingFaceDetector:
    """A loaded GroundingDinoForObjectDetection that searches for one list of prompts."""

    def __init__(
        self, folder: str, prompts: Sequence[str], device: torch.device, dtype: torch.dtype
    ):
        from transformers import AutoTokenizer

        model = _load(folder, DETECTORS)  # first: it says what is wrong with a folder
        tokenizer = AutoTokenizer.from_pretrained(locate(folder), local_files_only=True)
        self._take(model, tokenizer, prompts, device, dtype)

    @classmethod
    def around(
        cls,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[str],
        device: torch.device,
        dtype: torch.dtype,
    ) -> "HuggingFaceDetector":
        """Return the detector of a model and a tokenizer that are loaded already."""
        detector = cls.__new__(cls)
        detector._take(_frozen(model), tokenizer, prompts, device, dtype)
        return detector

    def _take(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[str],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.model = model.to(device)
        self.prompt_tokens = prompt_tokens(tokenizer, prompts)
        self._text = tokenizer(caption_of(prompts), return_tensors="pt").to(device)
        self._device, self._dtype = device, dtype

    def __call__(
        self, images: UInt8[Tensor, "images 3 rows columns"], short_side_px: int, max_side_px: int
    ) -> tuple[Float[Tensor, "images queries tokens"], Float[Tensor, "images queries 4"]]:
        """Return each box's probability per token, and boxes (centre x, y, width, height; 0..1)."""
        pixels = prepare(images.to(self._device), short_side_px, max_side_px)
        text = {name: value.expand(len(pixels), -1) for name, value in self._text.items()}
        with torch.inference_mode(), autocast(self._device, self._dtype):
            found = self.model(pixel_values=pixels, **text)
        return found.logits.float().sigmoid(), found.pred_boxes.float()


class HuggingFaceSegmenter:
    """A loaded SamModel or Sam2Model that turns boxes into masks."""

    def __init__(self, folder: str, device: torch.device, dtype: torch.dtype):
        self._take(_load(folder, SEGMENTERS), device, dtype)

    @classmethod
    def around(cls, model: Any, device: torch.device, dtype: torch.dtype) -> "HuggingFaceSegmenter":
        """Return the segmenter of a model that is loaded already."""
        segmenter = cls.__new__(cls)
        segmenter._take(_frozen(model), device, dtype)
        return segmenter

    def _take(self, model: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model.to(device)
        self._device, self._dtype = device, dtype
        self._is_sam2 = self.model.config.model_type == "sam2"

    @property
    def side_px(self) -> int:
        """The side of the square that the encoder sees."""
        vision = self.model.config.vision_config
        size = vision.backbone_config.image_size[0] if self._is_sam2 else vision.image_size
        return int(size)

    def encode(self, images: UInt8[Tensor, "images 3 rows columns"]) -> list[Any]:
        """Return the features of each image, which `decode` takes."""
        with torch.inference_mode(), autocast(self._device, self._dtype):
            found = self.model.get_image_embeddings(self.prepare(images))
        if isinstance(found, Tensor):
            return [{"image_embeddings": one[None]} for one in found]
        return [  # SAM 2: a pyramid of maps
            {"image_embeddings": [level[index : index + 1] for level in found]}
            for index in range(len(images))
        ]

    def prepare(
        self, images: UInt8[Tensor, "images 3 rows columns"]
    ) -> Float[Tensor, "images 3 side side"]:
        """Scale and normalise as the model's own processor does.

        SAM keeps the aspect ratio and pads; SAM 2 stretches the image to the square.
        """
        values = images.to(self._device, torch.float32)
        rows, columns = self._scaled(images.shape[2:])
        if (rows, columns) != tuple(images.shape[2:]):
            values = F.interpolate(values, (rows, columns), mode="bilinear", antialias=True)
        if self._is_sam2:
            from olivine.models.foundation.grounding_dino import DEVIATION, MEAN

            mean, deviation = [255 * m for m in MEAN], [255 * d for d in DEVIATION]
        else:
            mean, deviation = list(_SAM_MEAN), list(_SAM_DEVIATION)
        values = values - values.new_tensor(mean)[:, None, None]
        values = values / values.new_tensor(deviation)[:, None, None]
        return F.pad(values, (0, self.side_px - columns, 0, self.side_px - rows))

    def decode(
        self, encoded: Any, boxes_px: Float[Tensor, "boxes 4"], size_px: tuple[int, int]
    ) -> Float[Tensor, "boxes low low"]:
        """Return one mask of logits per box; `restore` brings them to the image's size."""
        if not len(boxes_px):
            return boxes_px.new_zeros((0, 1, 1))
        rows, columns = self._scaled(size_px)
        scale = torch.tensor([columns / size_px[1], rows / size_px[0]] * 2, device=boxes_px.device)
        masks = []
        with torch.inference_mode(), autocast(self._device, self._dtype):
            for some in (boxes_px * scale).split(BOXES_AT_ONCE):
                found = self.model(input_boxes=some[None], multimask_output=False, **encoded)
                masks.append(found.pred_masks[0, :, 0].float())
        return torch.cat(masks)

    def restore(
        self, masks: Float[Tensor, "boxes low low"], size_px: tuple[int, int]
    ) -> Float[Tensor, "boxes rows columns"]:
        """Enlarge masks to the square, remove the padding and scale them to the image."""
        if not len(masks):
            return masks.new_zeros((0, *size_px))
        if self._is_sam2:
            return F.interpolate(masks[:, None], size_px, mode="bilinear")[:, 0]
        rows, columns = self._scaled(size_px)
        square = F.interpolate(masks[:, None], (self.side_px, self.side_px), mode="bilinear")
        return F.interpolate(square[..., :rows, :columns], size_px, mode="bilinear")[:, 0]

    def _scaled(self, size_px: Any) -> tuple[int, int]:
        return (self.side_px,) * 2 if self._is_sam2 else scaled_size(size_px, self.side_px)


def _load(folder: str, allowed: dict[str, str]) -> Any:
    path = verify(folder)
    kind = _model_type(path)
    if kind == "sam_hq":
        # SamHQMaskDecoder, 4.57 to 5.24: the decoder upsamples its own input instead of what its
        # transformer made of it.
        raise UserError(
            f"{path} is a SAM-HQ, whose decoder in transformers is wrong; use the engine "
            "'packages' with segmenter=sam_hq_vit_h."
        )
    if kind not in allowed:
        raise UserError(
            f"{path} holds a model of the type {kind!r}; allowed here are {', '.join(allowed)}."
        )
    try:
        import transformers

        transformers.utils.logging.disable_progress_bar()
        cls = getattr(transformers, allowed[kind])
    except (ImportError, AttributeError):
        raise UserError(
            f"This engine needs a transformers that has {allowed[kind]}: "
            "`pip install 'olivine[transformers]'`."
        ) from None
    try:
        # In float32 whatever the file's format: transformers 5 would keep a file of float16 as it
        # is, which a CPU cannot compute with these inputs; a GPU gets its format by autocast.
        model, found = cls.from_pretrained(
            path, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"Cannot load {path}: {str(error).splitlines()[0]}") from None
    missing, wrong = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    if missing or wrong:
        raise UserError(
            f"{path} does not hold the weights of its config.json: {len(missing)} "
            f"are missing, {len(wrong)} have another shape (such as {(missing + wrong)[0]})."
        )
    return _frozen(model)


def _frozen(model: Any) -> Any:
    return model.eval().requires_grad_(False)


def _model_type(path: Path) -> str:
    try:
        return str(json.loads((path / "config.json").read_text())["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} is not a model's folder as transformers saves it: it has no config.json that "
            "names a model_type."
        ) from None
