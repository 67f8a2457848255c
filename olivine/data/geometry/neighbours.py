"""The nearest neighbours of points."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.core.errors import UserError
from olivine.data.geometry.voxelization import EXACT_DISTANCE

DISTANCES_AT_ONCE = 1 << 25  # 256 MB


@torch.no_grad()
def nearest_rows(
    xyz_m: Float[Tensor, "V 3"], frame: Int[Tensor, " V"], count: int
) -> Int[Tensor, "V {count}"]:
    """Return the rows of the `count` points of the same frame that are nearest to each point.

    A point is not its own neighbour. Frames are numbered from 0, and no two points of a frame are
    equal. Raises UserError for a frame with too few points.
    """
    nearest = frame.new_empty(len(frame), count)
    sizes = frame.bincount().tolist()
    for number, rows in enumerate(frame.argsort(stable=True).split(sizes)):
        if len(rows) <= count:
            raise UserError(
                f"Frame {number} of the batch has {len(rows)} voxels and the network looks at the "
                f"num_neighbours={count} nearest of each: take fewer neighbours or smaller voxels."
            )
        points = xyz_m[rows]
        found = _by_distance(points, count) if points.is_cuda else _by_tree(points, count)
        nearest[rows] = rows[found]
    return nearest


def _by_tree(points: Float[Tensor, "V 3"], count: int) -> Int[Tensor, "V {count}"]:
    from scipy.spatial import cKDTree

    _, found = cKDTree(points.numpy()).query(points.numpy(), count + 1)
    return torch.from_numpy(found[:, 1:])  # the nearest is the point itself


def _by_distance(points: Float[Tensor, "V 3"], count: int) -> Int[Tensor, "V {count}"]:
    """Compare all points with all; on a GPU this is faster than a tree on the CPU.

    Distances are in double precision, as the tree's: of points at nearly the same distance single
    precision takes others, and features differ by a percent.
    """
    found, precise = [], points.double()
    for some in precise.split(max(1, DISTANCES_AT_ONCE // len(points))):
        distance_m = torch.cdist(some, precise, compute_mode=EXACT_DISTANCE)
        found.append(distance_m.topk(count + 1, largest=False).indices[:, 1:])
    return torch.cat(found)
