"""Grounded-SAM: a batch of images through both networks, then the rules, image by image."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from olivine.data.records import IGNORE
from olivine.labels.labellers.grounded_sam.detection_rules import DetectionRules
from olivine.labels.labellers.grounded_sam.rules import choose, paint_masks, suppress


@runtime_checkable
class Detector(Protocol):
    """Finds boxes for a fixed list of prompts."""

    prompt_tokens: list[list[int]]  # positions of each prompt's tokens

    def __call__(
        self, images: UInt8[Tensor, "images 3 rows columns"], short_side_px: int, max_side_px: int
    ) -> tuple[Float[Tensor, "images queries tokens"], Float[Tensor, "images queries 4"]]:
        """Return each box's probability per token, and boxes (centre x, y, width, height; 0..1)."""
        ...


@runtime_checkable
class MaskSegmenter(Protocol):
    """Turns boxes into masks."""

    def encode(self, images: UInt8[Tensor, "images 3 rows columns"]) -> list[Any]:
        """Return the features of each image, which `decode` takes."""
        ...

    def decode(
        self, encoded: Any, boxes_px: Float[Tensor, "boxes 4"], size_px: tuple[int, int]
    ) -> Float[Tensor, "boxes low low"]:
        """Return one mask of logits per box; all boxes of an image are decoded together."""
        ...

    def restore(
        self, masks: Float[Tensor, "boxes low low"], size_px: tuple[int, int]
    ) -> Float[Tensor, "boxes rows columns"]:
        """Return masks at the image's size."""
        ...


class GroundedSamLabeller:
    """Both loaded networks, and the rules for their outputs."""

    def __init__(
        self,
        rules: DetectionRules,
        detector: Detector,
        segmenter: MaskSegmenter,
        device: torch.device,
    ):
        self._rules, self._device = rules, device
        self._detector, self._segmenter = detector, segmenter

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], names: Sequence[str]
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """Return class ids; images of one size are in one batch of the networks."""
        maps: list[np.ndarray | None] = [None] * len(images)
        sizes = [image.shape for image in images]
        for size in dict.fromkeys(sizes):
            mine = [index for index, other in enumerate(sizes) if other == size]
            # np.stack copies: arrays that come from a shared object store cannot be written.
            pixels = torch.from_numpy(np.stack([images[index] for index in mine]))
            labels = self._label(pixels.to(self._device).permute(0, 3, 1, 2))
            for index, ids in zip(mine, labels, strict=True):
                maps[index] = ids
        return [ids for ids in maps if ids is not None]

    def _label(self, images: UInt8[Tensor, "images 3 rows columns"]) -> list[np.ndarray]:
        rules = self._rules
        size_px = (images.shape[2], images.shape[3])
        probabilities, boxes = self._detector(images, rules.short_side_px, rules.max_side_px)
        maps = []
        for index, encoded in enumerate(self._segmenter.encode(images)):
            found = choose(
                probabilities[index],
                boxes[index],
                self._detector.prompt_tokens,
                size_px,
                box_threshold=rules.box_threshold,
                text_threshold=rules.text_threshold,
            )
            found = suppress(found, rules.nms_iou)
            low = self._segmenter.decode(encoded, found.boxes_px, size_px)
            ids = paint_masks(
                found,
                partial(self._masks, low, size_px),
                rules.vocabulary.class_of_prompt,
                size_px,
                rules.overlap,
            )
            maps.append(self._with_background(ids).cpu().numpy())
        return maps

    def _masks(
        self, low: Tensor, size_px: tuple[int, int], some: slice
    ) -> Bool[Tensor, "some rows columns"]:
        return self._segmenter.restore(low[some], size_px) > 0

    def _with_background(self, ids: UInt8[Tensor, "rows columns"]) -> Tensor:
        if self._rules.uncovered == "ignore":
            return ids
        return torch.where(ids == IGNORE, torch.zeros_like(ids), ids + 1)
