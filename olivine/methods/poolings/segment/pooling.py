"""Superpixels instead of pixels: one query and one key per segment of an image (SLidR).

Sautier et al., "Image-to-Lidar Self-Supervised Distillation for Autonomous Driving Data",
CVPR 2022, section 3.2 (method.md §7.1): the query is the mean of the unit-length features of the
points in the segment, the key the mean over all of the segment's pixels that the crop shows;
neither is normalised again. Segments without points are left out.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.features import Projected
from olivine.methods.matched import Matched
from olivine.models.scatter import group_means


def pool_by_segment(
    features: Projected,
    head: str,
    pairs: PairTable,
    group_ids: Int[Tensor, " M"],
    teacher_rows: bool = False,
) -> Matched:
    """Return one row per segment that has a point, in the order of image and segment."""
    segment = features.segments(pairs)
    known = segment >= 0
    segment, group_ids = segment[known], group_ids[known]
    rows = features.points(head, pairs.take(known))
    segments, place = torch.unique(segment, return_inverse=True)
    keys, of_teacher = features.segment_pixels(head, segments, teacher_rows)
    group_of = group_ids.new_zeros(len(segments)).scatter(0, place, group_ids)
    return Matched(
        queries=group_means(rows, place, len(segments)),
        keys=keys,
        class_ids=torch.full_like(segments, IGNORE),
        group_ids=group_of,
        teacher_rows=of_teacher,
    )
