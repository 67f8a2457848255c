"""Images per second of the Grounded-SAM labeller, beside its bare networks and the usual script.

Networks have random weights, since speed does not depend on them: GroundingDINO with Swin-T and
SAM, at 1600 x 900. Thresholds are set so that some `--boxes` boxes per image count, as on a street.

    ours        the labeller: batches, all boxes of an image together, rules, uint8 map
    networks    the two networks alone on ready tensors, the same batch and boxes: the ceiling
    script      the packages' predictors, one image and one box after another, painted in numpy

    python benchmarks/labels/grounded_sam.py                       # a GPU, SAM ViT-H
    python benchmarks/labels/grounded_sam.py --device cpu --small  # Swin-T at 320, a ViT-B-wide \
        SAM at 512
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import seconds_of_rounds
from olivine.core.devices import autocast
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.grounded_sam.labeller import GroundedSamLabeller
from olivine.labels.labellers.grounded_sam.rules import choose, suppress
from olivine.models.foundation import grounding_dino, sam
from olivine.models.foundation.captions import caption_of
from olivine.models.foundation.torchvision_ops import ensure_torchvision

SIZE = (900, 1600)
SMALL_SAM = sam.VIT_B.replace(image_size_px=512, depth=4, global_attn_indexes=(3,))


def write_bert(folder: Path, prompts: tuple[str, ...]) -> Path:
    """Write a text encoder of BERT's size that knows the prompts' words."""
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?"]
    words += sorted({word for prompt in prompts for word in prompt.split()})
    BertModel(BertConfig(vocab_size=30522)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def labeller_of(arguments: argparse.Namespace, folder: Path) -> GroundedSamLabeller:
    """Return a labeller with random networks."""
    device = torch.device(arguments.device)
    settings = GroundedSam(
        nms_iou=1.0, text_threshold=0.0, **({"short_side_px": 320} if arguments.small else {})
    )
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    texts = settings.vocabulary.texts
    torch.manual_seed(0)
    dino = grounding_dino.build_grounding_dino(
        grounding_dino.GroundingDinoArchitecture(), str(write_bert(folder, texts))
    )
    network = sam.build_sam(SMALL_SAM if arguments.small else sam.PUBLISHED[arguments.sam])
    detector = grounding_dino.GroundingDinoDetector(dino.eval(), texts, device, dtype)
    segmenter = sam.SamSegmenter(network.eval(), device, dtype)
    labeller = GroundedSamLabeller(settings, detector, segmenter, device)
    return _with_boxes(labeller, arguments)


def _with_boxes(
    labeller: GroundedSamLabeller, arguments: argparse.Namespace
) -> GroundedSamLabeller:
    """Set the threshold so that about the wanted number of boxes of an image count."""
    settings, detector = labeller._rules, labeller._detector
    pixels = torch.from_numpy(pictures(1)[0].copy()).permute(2, 0, 1)[None]
    settings = settings.replace(box_threshold=threshold_for(labeller, pixels, arguments.boxes))
    return GroundedSamLabeller(settings, detector, labeller._segmenter, labeller._device)


def threshold_for(labeller: GroundedSamLabeller, pixels: torch.Tensor, num_boxes: int) -> float:
    """Return the box threshold at which about `num_boxes` boxes of an image count."""
    rules, detector = labeller._rules, labeller._detector
    found, boxes = detector(pixels, rules.short_side_px, rules.max_side_px)
    best = found[..., [token for some in detector.prompt_tokens for token in some]].amax(-1)
    ordered = best.flatten().sort(descending=True).values.clamp(max=1.0).tolist()
    wanted = num_boxes * len(pixels)
    low, high = wanted, len(ordered) - 1
    while low < high:  # the first threshold that leaves enough boxes
        middle = (low + high) // 2
        kept = chosen(labeller, found, boxes, tuple(pixels.shape[2:]), ordered[middle])
        low, high = (low, middle) if sum(map(len, kept)) >= wanted else (middle + 1, high)
    return ordered[low]


def pictures(num_images: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Return images of noise at several scales, of `size` rows and columns."""
    from PIL import Image

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (num_images, 18, 32, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize(size[::-1])) for one in coarse]


def networks(labeller: GroundedSamLabeller, images: list[np.ndarray]) -> Callable[[], Any]:
    """Return a call of both networks on ready tensors and ready boxes."""
    settings, detector, segmenter = labeller._rules, labeller._detector, labeller._segmenter
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(labeller._device)
    ready = segmenter.prepare(pixels)
    scaled = grounding_dino.prepare(pixels, settings.short_side_px, settings.max_side_px)
    boxes = boxes_of(labeller, pixels)
    captions = [detector.caption] * len(images)

    def call() -> None:
        with torch.inference_mode(), autocast(detector._device, detector._dtype):
            detector.model(scaled, captions=captions)
            encoded = segmenter.model.image_encoder(ready)
        for one, some in zip(encoded[:, None], boxes, strict=True):
            segmenter.decode(one, some, SIZE)

    return call


def boxes_of(labeller: GroundedSamLabeller, pixels: torch.Tensor) -> list[torch.Tensor]:
    """Return the boxes that the labeller finds."""
    rules, detector = labeller._rules, labeller._detector
    found, boxes = detector(pixels, rules.short_side_px, rules.max_side_px)
    return chosen(labeller, found, boxes, tuple(pixels.shape[2:]), rules.box_threshold)


def chosen(
    labeller: GroundedSamLabeller,
    found: torch.Tensor,
    boxes: torch.Tensor,
    size_px: tuple[int, int],
    threshold: float,
) -> list[torch.Tensor]:
    """Return the boxes of each image that the labeller's rules leave at a threshold."""
    rules = labeller._rules
    kept = []
    for probabilities, some in zip(found, boxes, strict=True):
        detections = choose(
            probabilities,
            some,
            labeller._detector.prompt_tokens,
            size_px,
            box_threshold=threshold,
            text_threshold=rules.text_threshold,
        )
        kept.append(suppress(detections, rules.nms_iou).boxes_px)
    return kept


def script(labeller: GroundedSamLabeller, images: list[np.ndarray]) -> Callable[[], Any]:
    """Return the usual loop: predictors of the packages, a box after another."""
    from groundingdino.datasets import transforms
    from groundingdino.util.inference import predict
    from PIL import Image
    from segment_anything import SamPredictor

    settings, detector = labeller._rules, labeller._detector
    predictor = SamPredictor(labeller._segmenter.model)
    transform = transforms.Compose(
        [
            transforms.RandomResize([settings.short_side_px], max_size=settings.max_side_px),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    caption = caption_of(settings.vocabulary.texts)
    scale = torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]])

    def call() -> None:
        for image in images:
            pixels, _ = transform(Image.fromarray(image), None)
            boxes, _, _ = predict(
                detector.model, pixels, caption, settings.box_threshold, 0.0, labeller._device
            )
            predictor.set_image(image)
            ids = np.zeros(SIZE, dtype=np.uint8)
            for index, box in enumerate(boxes * scale):
                corners = torch.cat([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2])
                masks, _, _ = predictor.predict(box=corners.numpy(), multimask_output=False)
                ids[masks[0]] = index % 13 + 1

    return call


def median_seconds(call: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the median time of a call after one to warm up."""

    def whole() -> None:
        call()
        if device != "cpu":
            torch.cuda.synchronize()

    return statistics.median(seconds_of_rounds(repeats, {"": whole})[""])


def main() -> None:
    """Print images per second of the three ways."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sam", default="sam_vit_h", choices=sorted(sam.PUBLISHED))
    parser.add_argument("--small", action="store_true", help="sizes for a machine without a GPU")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--boxes", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    ensure_torchvision()
    with tempfile.TemporaryDirectory() as folder:
        labeller = labeller_of(arguments, Path(folder))
    images = pictures(arguments.batch)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    num_boxes = [len(boxes) for boxes in boxes_of(labeller, pixels)]
    names = [""] * len(images)
    calls = {
        "ours": lambda: labeller(images, names),
        "networks": networks(labeller, images),
        "script": script(labeller, images),
    }
    print(f"{arguments.device}, {len(images)} images at once, boxes {num_boxes}")
    rates = {
        name: len(images) / median_seconds(call, arguments.device, arguments.repeats)
        for name, call in calls.items()
    }
    for name, rate in rates.items():
        print(f"{name:9s} {rate:8.3f} images/s, ours / {name}: {rates['ours'] / rate:.2f}")
    if arguments.device != "cpu":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
