"""Small networks on the device against float64 on the CPU: features, masks, and the detector's."""

import copy
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.labels.grounded_sam import pictures
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.models.foundation.grounding_dino import prepare
from olivine.models.foundation.hugging_face import HuggingFaceDetector, HuggingFaceSegmenter
from tools.gpu_check.labelling.networks import SEGMENTERS, write_detector, write_segmenter
from tools.gpu_check.report import Finding, Setup, compared, failed

SIZE = (90, 160)  # rows and columns of the images, px
# Relative norms of the error after some dozen layers: a rounding of float32 is 6e-8, one of float16
# 5e-4, one of bfloat16 4e-3; sums of a hundred and more products, and layers in a row, add up.
BOUNDS = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
BOXES_PX = [[5.0, 10, 150, 80], [40, 3, 60, 30], [0, 0, 160, 90]]


def precision(setup: Setup) -> Iterator[Finding]:
    """Yield the errors in each number format; TF32 is off."""
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        detector = write_detector(setup.scratch / "small_detector", "cpu", True)
        folders = {
            kind: write_segmenter(setup.scratch / f"small_{kind}", kind, "cpu", True)
            for kind in SEGMENTERS
        }
        for dtype, bound in BOUNDS.items():
            for what, call in (
                ("small GroundingDINO", lambda dtype=dtype: _detector(setup, str(detector), dtype)),
                *(
                    (f"small {kind}", lambda f=folder, d=dtype: _segmenter(setup, str(f), d))
                    for kind, folder in folders.items()
                ),
            ):
                yield from _compared(f"{what} in {str(dtype).removeprefix('torch.')}", call, bound)
    finally:
        torch.backends.cudnn.allow_tf32 = tf32


def _compared(what: str, call: Any, bound: float) -> Iterator[Finding]:
    try:
        for name, (ours, reference) in call().items():
            error = relative_error(ours, reference)
            yield compared("labelling", f"{what}: {name}", error, bound)
    except Exception as error:
        yield failed("labelling", what, f"{type(error).__name__}: {error}".splitlines()[0])


def relative_error(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of the reference, in float64."""
    reference = reference.double().cpu()
    return float((ours.double().cpu() - reference).norm() / reference.norm())


def _images() -> torch.Tensor:
    pixels = torch.stack([torch.from_numpy(one.copy()) for one in pictures(2, SIZE)])
    return pixels.permute(0, 3, 1, 2)


def _segmenter(
    setup: Setup, folder: str, dtype: torch.dtype
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the features and masks of a segmenter, each beside its reference."""
    ours = HuggingFaceSegmenter(folder, torch.device(setup.device), dtype)
    exact = HuggingFaceSegmenter(folder, torch.device("cpu"), torch.float32)
    model = exact.model.double()
    images, boxes = _images(), torch.tensor(BOXES_PX)
    rows, columns = exact._scaled(SIZE)
    scaled = (boxes * torch.tensor([columns / SIZE[1], rows / SIZE[0]] * 2)).double()
    encoded = ours.encode(images)
    features, masks = [], []
    with torch.inference_mode():
        whole = model.get_image_embeddings(exact.prepare(images).double())
        for index in range(len(images)):
            one = (
                whole[index : index + 1]
                if isinstance(whole, torch.Tensor)
                else [level[index : index + 1] for level in whole]
            )
            found = model(input_boxes=scaled[None], multimask_output=False, image_embeddings=one)
            features.append(_flat(one))
            masks.append(found.pred_masks[0, :, 0])
    our_features = torch.cat([_flat(one["image_embeddings"]) for one in encoded])
    our_masks = torch.cat([ours.decode(one, boxes.to(setup.device), SIZE) for one in encoded])
    return {
        "features": (our_features, torch.cat(features)),
        "masks": (our_masks, torch.cat(masks)),
    }


def _flat(levels: Any) -> torch.Tensor:
    levels = [levels] if isinstance(levels, torch.Tensor) else levels
    return torch.cat([level.flatten() for level in levels])


def _detector(
    setup: Setup, folder: str, dtype: torch.dtype
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the encoder's features of image and text.

    Its boxes are not compared: which queries become boxes is a choice among near equals. The
    reference is float32 on the CPU where the network computes no float64.
    """
    texts = GroundedSam().vocabulary.texts
    ours = HuggingFaceDetector(folder, texts, torch.device(setup.device), dtype)
    pixels = prepare(_images(), *SIZE)
    reference = copy.deepcopy(ours.model).cpu()
    text = {name: value.expand(2, -1) for name, value in ours._text.items()}
    with torch.inference_mode():
        with torch.autocast(setup.device.split(":")[0], dtype, enabled=dtype != torch.float32):
            found = ours.model(pixel_values=pixels.to(setup.device), **text)
        text = {name: value.cpu() for name, value in text.items()}
        exact = reference.double()(pixel_values=pixels.double(), **text)
    return {
        "features of the image": (
            found.encoder_last_hidden_state_vision,
            exact.encoder_last_hidden_state_vision,
        ),
        "features of the text": (
            found.encoder_last_hidden_state_text,
            exact.encoder_last_hidden_state_text,
        ),
    }
