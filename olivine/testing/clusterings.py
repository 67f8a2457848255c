"""The contract of a clustering."""

from collections.abc import Sequence

import numpy as np

from olivine.data.clusterings.base import Clustering
from olivine.testing.settings import check_settings, require

NUM_PER_BOX, NUM_GROUND = 150, 400
CENTRES_M = ((6.0, 5.0), (-6.0, 7.0), (8.0, -6.0))
MIN_SHARE = 0.7  # smallest share of a box's points that have its most frequent id


def check_clustering(clustering: Clustering) -> None:
    """Check the promises of a clustering.

    Its settings can be written and read again. For scans in one frame of reference it returns the
    id of each point's object, or -1; equal scans give equal ids, in any order of the points. A box
    in two scans keeps its id from one to the next, two distant boxes have two ids, and a scan
    without points is accepted.

    Raises AssertionError for a promise that is broken.
    """
    check_settings(clustering)
    clouds, things = _two_scans()
    ids = _ids(clustering, clouds)
    again = _ids(clustering, clouds)
    same = all(map(np.array_equal, ids, again))
    require(same, clustering, "the same scans give other ids")
    found = [_id_of(clustering, ids, things, box) for box in range(len(CENTRES_M))]
    require(len(set(found)) == len(found), clustering, "two boxes far apart have one id")
    order = np.random.default_rng(1).permutation(len(clouds[0]))
    permuted = _ids(clustering, [clouds[0][order], clouds[1]])
    moved = [things[0][order], things[1]]
    for box in range(len(CENTRES_M)):
        _id_of(clustering, permuted, moved, box)
    nothing = np.zeros((0, 3), np.float32)
    _ids(clustering, [clouds[0], nothing])
    _ids(clustering, [nothing, nothing])
    require(len(clustering.identity) > 0, clustering, "it has no identity")


def _two_scans() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return two scans of a plane with three boxes, and which box each point is of (-1: none)."""
    clouds, things = [], []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        ground = rng.uniform([-15, -15, -1.82], [15, 15, -1.78], (NUM_GROUND, 3))
        boxes = [
            rng.uniform([x - 0.9, y - 0.9, -1.3], [x + 0.9, y + 0.9, 0.3], (NUM_PER_BOX, 3))
            for x, y in CENTRES_M
        ]
        clouds.append(np.concatenate([ground, *boxes]).astype(np.float32))
        of_box = np.repeat(np.arange(len(CENTRES_M)), NUM_PER_BOX)
        things.append(np.concatenate([np.full(NUM_GROUND, -1), of_box]))
    return clouds, things


def _ids(clustering: Clustering, clouds: Sequence[np.ndarray]) -> list[np.ndarray]:
    before = [cloud.copy() for cloud in clouds]
    found = clustering(clouds)
    require(
        len(found) == len(clouds), clustering, f"{len(found)} arrays of ids for {len(clouds)} scans"
    )
    for cloud, ids in zip(clouds, found, strict=True):
        require(len(ids) == len(cloud), clustering, f"{len(ids)} ids for {len(cloud)} points")
        whole = np.issubdtype(ids.dtype, np.integer) and bool((ids >= -1).all())
        require(whole, clustering, "its ids are not whole numbers from -1")
    require(all(map(np.array_equal, clouds, before)), clustering, "it changes its scans in place")
    return found


def _id_of(
    clustering: Clustering, ids: Sequence[np.ndarray], things: Sequence[np.ndarray], box: int
) -> int:
    """Return the id that most points of a box have, the same in both scans."""
    common = []
    for found, thing in zip(ids, things, strict=True):
        of_box = found[thing == box]
        values, counts = np.unique(of_box, return_counts=True)
        common.append(int(values[counts.argmax()]))
        require(counts.max() >= MIN_SHARE * len(of_box), clustering, "it divides a box")
    require(common[0] != -1, clustering, "a box has no id")
    require(len(set(common)) == 1, clustering, "a box has another id in the next scan")
    return common[0]
