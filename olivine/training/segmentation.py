"""Semantic segmentation of points: the losses of the head and the scores (method.md §8)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from olivine.core.collectives import gather_rows
from olivine.data.records import IGNORE


def batch_losses(
    logits: Float[Tensor, "N K"], class_ids: Int[Tensor, " N"], lovasz_weight: float
) -> dict[str, Float[Tensor, ""]]:
    """Return the losses of the rows of all workers, by name.

    Neither is a sum over rows, so a mean of the workers' own losses would be another loss, and
    change with their number.
    """
    logits, class_ids = gather_rows(logits.float())[0], gather_rows(class_ids)[0]
    losses = {"cross_entropy": cross_entropy(logits, class_ids)}
    if lovasz_weight:
        losses["lovasz"] = lovasz_weight * lovasz_softmax(logits, class_ids)
    return losses


def cross_entropy(logits: Float[Tensor, "N K"], class_ids: Int[Tensor, " N"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of labelled rows, or zero without such rows."""
    known = class_ids != IGNORE
    if not known.any():
        return logits.sum() * 0.0
    return F.cross_entropy(logits[known].float(), class_ids[known])


def lovasz_softmax(logits: Float[Tensor, "N K"], class_ids: Int[Tensor, " N"]) -> Float[Tensor, ""]:
    """Return the Lovász-softmax loss over the classes present (Berman et al. 2018, eq. 8 and 11).

    For each class, errors sorted from worst to best are weighted by how much each one lowers the
    Jaccard index.
    """
    known = class_ids != IGNORE
    if not known.any():
        return logits.sum() * 0.0
    probability, class_ids = logits[known].float().softmax(dim=1), class_ids[known]
    losses = []
    for present in torch.unique(class_ids):
        truth = (class_ids == present).float()
        errors, order = (truth - probability[:, present]).abs().sort(descending=True)
        truth = truth[order]
        intersection = truth.sum() - truth.cumsum(0)
        union = truth.sum() + (1 - truth).cumsum(0)
        jaccard = 1 - intersection / union
        steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        losses.append((errors * steps).sum())  # autocast would round a product of vectors
    return torch.stack(losses).mean()


def confusion(
    truth: Int[Tensor, " N"], predicted: Int[Tensor, " N"], num_classes: int
) -> Int[Tensor, "K K"]:
    """Return counts by true class (rows) and predicted class; unlabelled points do not count."""
    return scene_confusion(truth, predicted, torch.zeros_like(truth), 1, num_classes)[0]


def scene_confusion(
    truth: Int[Tensor, " N"],
    predicted: Int[Tensor, " N"],
    scene_ids: Int[Tensor, " N"],
    num_scenes: int,
    num_classes: int,
) -> Int[Tensor, "S K K"]:
    """Return `confusion` of each scene's points."""
    known = truth != IGNORE
    cells = (scene_ids[known] * num_classes + truth[known]) * num_classes + predicted[known]
    counts = cells.bincount(minlength=num_scenes * num_classes**2)
    return counts.reshape(num_scenes, num_classes, num_classes)


def class_iou(counts: Int[Tensor, "K K"]) -> Float[Tensor, " K"]:
    """Return TP / (GT + predicted - TP) of each class; NaN where both are empty."""
    hit = counts.diagonal().double()
    return hit / (counts.sum(0) + counts.sum(1) - hit)


def mean_iou(iou: Float[Tensor, " K"], absent: str) -> float:
    """Return the mean over classes; a NaN class is left out ("skip") or counts 1 ("one")."""
    if absent == "one":
        return float(iou.nan_to_num(nan=1.0).mean())
    return float(iou.nanmean())
