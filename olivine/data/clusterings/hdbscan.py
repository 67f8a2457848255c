"""Ground removal by RANSAC, then HDBSCAN over scans that were brought into one frame (Seal).

method.md §7.1 names the three steps; their settings were never published, so all of them are ours.
HDBSCAN: Campello et al., 2013. Both algorithms are scikit-learn's.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from olivine.data.clusterings.base import Clustering

NUM_PLANES, NUM_PLANE_POINTS = 200, 3  # drawn at most; that fix one
TOO_NEAR_M = 2.0  # the car itself


class Hdbscan(Clustering):
    """Groups points above the ground into superpoints.

    The ground is one plane, found by RANSAC. Points are counted once per occupied cell, which
    bounds the time and makes a distant object as dense as a near one. Points on the ground and
    distant points belong to no superpoint.
    """

    kind: ClassVar[str] = "hdbscan"

    ground_m: float = Field(
        default=0.25,
        gt=0,
        description="Distance (m) to the ground plane within which a point is ground.",
    )
    max_range_m: float = Field(
        default=60.0,
        gt=0,
        description="Horizontal distance (m) from the sensor beyond which points are ignored.",
    )
    cell_m: float = Field(
        default=0.2, gt=0, description="Side (m) of a cell; the points in one cell count once."
    )
    min_cells: int = Field(
        default=10, ge=2, description="Smallest number of occupied cells in a superpoint."
    )

    def __call__(self, clouds: Sequence[Float[np.ndarray, "_ 3"]]) -> list[Int[np.ndarray, " _"]]:
        """Return the id of each point of each cloud, -1 where it belongs to nothing."""
        xyz_m = np.concatenate(clouds)
        ids = np.full(len(xyz_m), -1, np.int64)
        used = np.flatnonzero(self._is_thing(xyz_m))
        if len(used):
            ids[used] = self._clusters(xyz_m[used])
        ends = np.cumsum([len(cloud) for cloud in clouds])
        return np.split(ids, ends[:-1])

    def _is_thing(self, xyz_m: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        range_m = np.hypot(xyz_m[:, 0], xyz_m[:, 1])
        near = (range_m > TOO_NEAR_M) & (range_m < self.max_range_m)
        return near & (height_above_ground(xyz_m, near, self.ground_m) > self.ground_m)

    def _clusters(self, xyz_m: Float[np.ndarray, "N 3"]) -> Int[np.ndarray, " N"]:
        from sklearn.cluster import HDBSCAN

        cells = np.floor(xyz_m / self.cell_m).astype(np.int64)
        cells, cell_of = np.unique(cells, axis=0, return_inverse=True)
        if len(cells) < self.min_cells:
            return np.full(len(xyz_m), -1, np.int64)
        found = HDBSCAN(min_cluster_size=self.min_cells, copy=True).fit_predict(cells)
        return found.astype(np.int64)[cell_of.ravel()]


def height_above_ground(
    xyz_m: Float[np.ndarray, "N 3"], candidates: Bool[np.ndarray, " N"], tolerance_m: float
) -> Float[np.ndarray, " N"]:
    """Return each point's height above the plane that holds most of the lower candidates.

    The plane is a height over x and y, so no wall can be one. Always the same for the same points.
    """
    from sklearn.linear_model import LinearRegression, RANSACRegressor

    if candidates.sum() < 2 * NUM_PLANE_POINTS:
        return np.zeros(len(xyz_m))
    lower = candidates & (xyz_m[:, 2] <= np.median(xyz_m[candidates, 2]))
    plane = RANSACRegressor(
        LinearRegression(),
        residual_threshold=tolerance_m,
        max_trials=NUM_PLANES,
        random_state=0,
    ).fit(xyz_m[lower, :2], xyz_m[lower, 2])
    return xyz_m[:, 2] - plane.predict(xyz_m[:, :2])
