"""Voxelization: from points to voxels and back."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.core.errors import UserError
from olivine.data.batch import Voxels
from olivine.data.geometry.cell_keys import pack, unpack
from olivine.data.geometry.voxels import Voxelizer

CHUNK = 256  # points outside the range whose nearest voxel is searched at once
EXACT_DISTANCE = "donot_use_mm_for_euclid_dist"


def cells_of(voxelizer: Voxelizer, xyz_m: Float[Tensor, "N 3"]) -> Int[Tensor, "N 3"]:
    """Return the cell index of each point, rounded towards minus infinity.

    It is computed in float32 in the order of the released code, so that points on a border fall on
    the same side.
    """
    x, y, z = xyz_m.float().unbind(1)
    size = voxelizer.cell_size
    if voxelizer.coordinates == "cylindrical":
        rho_m, phi_degrees = torch.sqrt(x**2 + y**2), torch.atan2(y, x) * 180 / np.pi
        scaled = torch.stack([rho_m / size[0], phi_degrees / size[1], z / size[2]], dim=1)
    else:
        scaled = torch.stack([x / size[0], y / size[1], z / size[2]], dim=1)
    return torch.floor(scaled).long()


def voxelize(
    voxelizer: Voxelizer,
    xyz_m: Sequence[Float[np.ndarray, "_ 3"]],
    intensity: Sequence[Float[np.ndarray, " _"]],
    every_point: bool = False,
) -> Voxels:
    """Return the voxels of a batch of frames, sorted by frame, z, y and x (or z, φ and ρ).

    A voxel keeps its point of lowest index. `voxel_of_point` is -1 for points outside `range_m`.
    With `every_point`, which evaluation needs because it predicts all points, such a point gets the
    voxel whose kept point is nearest in metres in its frame; this is slow, and training leaves
    these points out. Raises UserError for a frame without voxels and for points that are not
    finite.
    """
    points = [torch.from_numpy(np.asarray(frame, dtype=np.float32)) for frame in xyz_m]
    inside = [torch.from_numpy(voxelizer.inside(frame)) for frame in xyz_m]
    for number, (frame, used) in enumerate(zip(points, inside, strict=True)):
        _check_frame(voxelizer, number, frame, used)
    frame_of = torch.repeat_interleave(
        torch.arange(len(points)), torch.tensor([len(frame) for frame in points])
    )
    of_batch, is_inside = torch.cat(points), torch.cat(inside)
    used = is_inside.nonzero()[:, 0]
    cells = torch.cat([frame_of[used, None], cells_of(voxelizer, of_batch[used])], dim=1)
    keys, first, voxel_of_used = _group(pack(cells))
    kept = used[first]
    voxel_of_point = torch.full((len(of_batch),), -1)
    voxel_of_point[used] = voxel_of_used
    if every_point and len(used) < len(of_batch):
        _fill_nearest(voxel_of_point, of_batch, kept, frame_of)
    values = torch.from_numpy(np.concatenate(intensity).astype(np.float32))
    all_points = torch.cat([of_batch, values[:, None] * voxelizer.intensity_scale], dim=1)
    features = all_points[kept, 3:]
    return Voxels(unpack(keys).int(), features, voxel_of_point, kept, all_points)


def _check_frame(voxelizer: Voxelizer, number: int, xyz_m: Tensor, used: Tensor) -> None:
    if not torch.isfinite(xyz_m).all():
        bad = int((~torch.isfinite(xyz_m)).any(dim=1).sum())
        raise UserError(
            f"{bad} points of frame {number} of the batch are not finite numbers: the scan is "
            "damaged."
        )
    if not used.any():
        why = (
            f"none of its {len(xyz_m)} points is in range_m {voxelizer.range_m}; widen the range"
            if len(xyz_m)
            else "it has no points"
        )
        raise UserError(f"Frame {number} of the batch leaves no voxel: {why}.")


def _group(
    keys: Int[Tensor, " N"],
) -> tuple[Int[Tensor, " V"], Int[Tensor, " V"], Int[Tensor, " N"]]:
    """Return the distinct keys in order, the first index of each and the group of every key."""
    ordered, order = torch.sort(keys, stable=True)
    distinct, group, counts = torch.unique_consecutive(
        ordered, return_inverse=True, return_counts=True
    )
    group_of = torch.empty_like(order)
    group_of[order] = group
    return distinct, order[counts.cumsum(0) - counts], group_of


def _fill_nearest(
    voxel_of_point: Int[Tensor, " N"],
    xyz_m: Float[Tensor, "N 3"],
    kept_point: Int[Tensor, " V"],
    frame_of_point: Int[Tensor, " N"],
) -> None:
    """Give every point without a voxel, -1, the nearest voxel of its frame."""
    outside = voxel_of_point < 0
    for frame in range(int(frame_of_point[-1]) + 1):
        rows = (outside & (frame_of_point == frame)).nonzero()[:, 0]
        voxels = (frame_of_point[kept_point] == frame).nonzero()[:, 0]
        for some in torch.split(rows, CHUNK):
            # Exact: the quick product form of cdist errs by centimetres at 100 m in float32.
            distance_m = torch.cdist(
                xyz_m[some], xyz_m[kept_point[voxels]], compute_mode=EXACT_DISTANCE
            )
            voxel_of_point[some] = voxels[distance_m.argmin(dim=1)]
