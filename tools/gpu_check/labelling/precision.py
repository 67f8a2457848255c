"""Small networks on the device against float64 on the CPU: features, masks, and the detector's."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.labels.grounded_sam import pictures
from olivine.core.devices import autocast
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.models.foundation.grounding_dino import prepare
from olivine.models.foundation.hugging_face import HuggingFaceDetector, HuggingFaceSegmenter
from tools.gpu_check.labelling.networks import SEGMENTERS, write_detector, write_segmenter
from tools.gpu_check.report import Finding, Setup, compared, failed

SIZE = (90, 160)  # rows and columns of the images, px
BOXES_PX = [[5.0, 10, 150, 80], [40, 3, 60, 30], [0, 0, 160, 90]]
# Of the norm of the error, relative: one rounding of float32 is 6e-8, of float16 5e-4, of bfloat16
# 4e-3; a dozen layers of sums of up to a hundred products add up to a few times that.
BOUNDS = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}

Outputs = dict[str, Tensor]


def errors(setup: Setup) -> Iterator[Finding]:
    """Yield each network's errors in each number format, TF32 not allowed as in the labeller."""
    yield from _network("small GroundingDINO", partial(_detector, setup))
    for kind in SEGMENTERS:
        yield from _network(f"small {kind}", partial(_segmenter, setup, kind))


def _network(what: str, make: Callable[[], tuple[Any, Outputs]]) -> Iterator[Finding]:
    """Compare a network's outputs in each format; what fails stops no other format."""
    try:
        outputs_in, references = make()
    except Exception as error:
        yield failed("labelling", what, f"{type(error).__name__}: {error}".splitlines()[0])
        return
    for dtype, bound in BOUNDS.items():
        in_format = f"{what} in {str(dtype).removeprefix('torch.')}"
        try:
            for name, ours in outputs_in(dtype).items():
                error = relative_error(ours, references[name])
                yield compared("labelling", f"{in_format}: {name}", error, bound)
        except Exception as error:
            yield failed("labelling", in_format, f"{type(error).__name__}: {error}".splitlines()[0])


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference over the norm of the reference, in float64."""
    reference = reference.double().cpu()
    return float((ours.double().cpu() - reference).norm() / reference.norm())


def _images() -> Tensor:
    pixels = torch.stack([torch.from_numpy(one.copy()) for one in pictures(2, SIZE)])
    return pixels.permute(0, 3, 1, 2)


def _segmenter(setup: Setup, kind: str) -> tuple[Callable[[torch.dtype], Outputs], Outputs]:
    """Return a segmenter's features and masks by format, and their references."""
    folder: Path = write_segmenter(setup.scratch / f"small_{kind}", kind)
    ours = HuggingFaceSegmenter(str(folder), torch.device(setup.device), torch.float32)
    exact = HuggingFaceSegmenter(str(folder), torch.device("cpu"), torch.float32)
    images, boxes = _images(), torch.tensor(BOXES_PX)

    def outputs_in(dtype: torch.dtype) -> Outputs:
        ours._dtype = dtype
        encoded = ours.encode(images)
        masks = [ours.decode(one, boxes.to(setup.device), SIZE) for one in encoded]
        features = [_flat(one["image_embeddings"]) for one in encoded]
        return {"features": torch.cat(features), "masks": torch.cat(masks)}

    return outputs_in, _exact_outputs(exact, images, boxes)


def _exact_outputs(exact: HuggingFaceSegmenter, images: Tensor, boxes: Tensor) -> Outputs:
    """Return the outputs of the network in float64, of the same prepared images."""
    model, ready = exact.model.double(), exact.prepare(images).double()
    rows, columns = exact._scaled(SIZE)
    scale = torch.tensor([columns / SIZE[1], rows / SIZE[0]] * 2)
    features, masks = [], []
    with torch.inference_mode():
        whole = model.get_image_embeddings(ready)
        for index in range(len(images)):
            one = (
                whole[index : index + 1]
                if isinstance(whole, Tensor)
                else [level[index : index + 1] for level in whole]
            )
            scaled = (boxes * scale).double()[None]  # anew: transformers 4.57 adds to it in place
            found = model(input_boxes=scaled, multimask_output=False, image_embeddings=one)
            features.append(_flat(one))
            masks.append(found.pred_masks[0, :, 0])
    return {"features": torch.cat(features), "masks": torch.cat(masks)}


def _flat(levels: Any) -> Tensor:
    levels = [levels] if isinstance(levels, Tensor) else levels
    return torch.cat([level.flatten() for level in levels])


def _detector(setup: Setup) -> tuple[Callable[[torch.dtype], Outputs], Outputs]:
    """Return the encoder's features of image and text by format, and their references.

    The boxes are not compared: which queries become boxes is a choice among near equals.
    """
    folder = write_detector(setup.scratch / "small_detector")
    texts, device = GroundedSam().vocabulary.texts, torch.device(setup.device)
    ours = HuggingFaceDetector(str(folder), texts, device, torch.float32)
    exact = copy.deepcopy(ours.model).cpu().double()
    pixels = prepare(_images(), *SIZE)
    text = {name: value.expand(len(pixels), -1) for name, value in ours._text.items()}

    def outputs_in(dtype: torch.dtype) -> Outputs:
        with torch.inference_mode(), autocast(device, dtype):
            return _features(ours.model(pixel_values=pixels.to(device), **text))

    with torch.inference_mode():
        on_cpu = {name: value.cpu() for name, value in text.items()}
        return outputs_in, _features(exact(pixel_values=pixels.double(), **on_cpu))


def _features(found: Any) -> Outputs:
    return {
        "features of the image": found.encoder_last_hidden_state_vision,
        "features of the text": found.encoder_last_hidden_state_text,
    }
