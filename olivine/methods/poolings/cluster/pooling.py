"""Superpoints over time: one key per thing that two scans show (Seal).

Liu et al., "Segment Any Point Cloud Sequences by Distilling Vision Foundation Models", NeurIPS
2023 (method.md §7.1). Its training code was never released. Ours are: the mean is over a
superpoint's voxels, of unit-length features, not normalised again (as SLidR pools); queries
are of the scan that has images, keys of the later one; gradients flow to both.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.features import Projected
from olivine.methods.matched import Matched
from olivine.models.scatter import group_means


def pool_by_cluster(
    features: Projected,
    head: str,
    pairs: PairTable,
    group_ids: Int[Tensor, " M"],
    teacher_rows: bool = False,
    *,
    queries_are_points: bool,
) -> Matched:
    """Return one key per superpoint, in the order of their ids, and one query or several."""
    assert pairs.cluster_ids is not None
    clusters, own = torch.unique(pairs.cluster_ids, return_inverse=True)
    later, later_ids = features.later_points(head)
    there = torch.isin(later_ids, clusters)
    place = torch.searchsorted(clusters, later_ids[there])
    keys = group_means(later[there], place, len(clusters))
    points = features.points(head, pairs)
    if queries_are_points:
        nothing = torch.full_like(own, IGNORE)
        return Matched(points, keys, nothing, group_ids, key_of=own)
    return Matched(
        queries=group_means(points, own, len(clusters)),
        keys=keys,
        class_ids=torch.full_like(clusters, IGNORE),
        group_ids=group_ids.new_zeros(len(clusters)).scatter(0, own, group_ids),
    )
