"""The rules from boxes and masks to one map: which boxes count, and which mask a pixel belongs to.

Both engines share them. Scores are probabilities in 0..1; boxes are x0, y0, x1, y1 in pixels of the
image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from olivine.data.records import IGNORE
from olivine.labels.labellers.grounded_sam.detection_rules import Overlap

MASKS_AT_ONCE = 16  # masks that are enlarged together; one mask of 1600 x 900 in float32 is 5.8 MB


@dataclass(frozen=True)
class Detections:
    """The boxes of one image that count, best first."""

    boxes_px: Float[Tensor, "B 4"]
    prompts: Int[Tensor, " B"]  # position of each box's prompt
    scores: Float[Tensor, " B"]

    def take(self, chosen: Tensor) -> "Detections":
        """Return the boxes that an index or a mask chooses."""
        return Detections(self.boxes_px[chosen], self.prompts[chosen], self.scores[chosen])


def choose(
    probabilities: Float[Tensor, "queries tokens"],
    boxes: Float[Tensor, "queries 4"],
    prompt_tokens: Sequence[Sequence[int]],
    size_px: tuple[int, int],
    *,
    box_threshold: float,
    text_threshold: float,
) -> Detections:
    """Return the boxes with a token above `box_threshold`, each with its best prompt.

    The published rule (GroundingDINO's `predict`) keeps a box if any token of the caption exceeds
    `box_threshold`, and names it by the tokens above `text_threshold`. Here a prompt's score is
    that of its best token; a box gets the prompt with the best score, and is dropped if that score
    is not above `text_threshold`. The box's own score is the prompt's.

    `boxes` are centre x, centre y, width and height in 0..1.
    """
    score_of = torch.stack(
        [probabilities[:, list(positions)].amax(dim=1) for positions in prompt_tokens], dim=1
    )
    scores, prompts = score_of.max(dim=1)
    kept = (probabilities.amax(dim=1) > box_threshold) & (scores > text_threshold)
    rows, columns = size_px
    scale = boxes.new_tensor([columns, rows, columns, rows])
    half = boxes[:, 2:] / 2
    corners = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], dim=1) * scale
    corners = torch.minimum(corners.clamp(min=0), scale)
    order = torch.argsort(scores, descending=True, stable=True)
    return Detections(corners, prompts, scores).take(order[kept[order]])


def suppress(detections: Detections, iou_threshold: float) -> Detections:
    """Drop boxes that a better one overlaps by more than the threshold, whatever their prompts.

    So an object that two prompts find is one object. A threshold of 1 drops nothing.
    """
    from torchvision.ops import nms

    if iou_threshold >= 1 or not len(detections.scores):
        return detections
    boxes, scores = detections.boxes_px.cpu(), detections.scores.cpu()
    return detections.take(nms(boxes, scores, iou_threshold).to(detections.scores.device))


def paint_masks(
    detections: Detections,
    masks_of: Callable[[slice], Bool[Tensor, "some rows columns"]],
    class_of_prompt: Sequence[int],
    size_px: tuple[int, int],
    overlap: Overlap,
) -> UInt8[Tensor, "rows columns"]:
    """Return class ids, IGNORE where there is no mask.

    Where masks overlap, `overlap` decides the class of a pixel: that of the best score, of the
    smallest mask (objects before what they stand on), or of the worst score, which the published
    code paints last ("drawn": detections are sorted best first, and later ones overwrite).
    """
    num_boxes = len(detections.scores)
    chunks = [
        masks_of(slice(start, start + MASKS_AT_ONCE))
        for start in range(0, num_boxes, MASKS_AT_ONCE)
    ]
    ids = torch.full(size_px, IGNORE, dtype=torch.uint8, device=detections.scores.device)
    if not chunks:
        return ids
    masks = torch.cat(chunks)
    classes = torch.tensor(class_of_prompt, dtype=torch.uint8, device=ids.device)
    for index in _order(masks, overlap):
        ids = torch.where(masks[index], classes[detections.prompts[index]], ids)
    return ids


def _order(masks: Bool[Tensor, "B rows columns"], overlap: Overlap) -> list[int]:
    """Return the order in which masks are painted; later ones overwrite."""
    if overlap == "drawn":
        return list(range(len(masks)))
    if overlap == "score":
        return list(range(len(masks)))[::-1]
    areas = masks.sum(dim=(1, 2))
    # Of two masks of one area, the one with the better score (it comes first) is painted last.
    return areas.argsort(stable=True).tolist()[::-1]
