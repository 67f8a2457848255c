"""Points to voxels and back."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import model_validator
from torch import Tensor

from olivine.errors import UserError
from olivine.sparse.coordinates import pack, unpack
from olivine.spec import Spec
from olivine.tensors import Voxels

USUAL_SIZE = {"cylindrical": (0.1, 1.0, 0.1), "cartesian": (0.1, 0.1, 0.1)}
CHUNK = 256  # points outside the range that look for their nearest voxel at once
EXACT_DISTANCE = "donot_use_mm_for_euclid_dist"


class Voxelizer(Spec):
    """How space is cut into cells, and what a cell says of its points.

    The released code of SLidR and OLIVINE cuts distance, azimuth and height (ρ, φ, z) of any
    point; OLIVINE's paper (appendix A.3) cuts x, y, z at 0.1 m with x and y in ±51.2 m and z in
    -5..3 m: `coordinates="cartesian", range_m=(-51.2, -51.2, -5, 51.2, 51.2, 3)`.
    Azimuth does not wrap around: cells on the two sides of the -x axis are no neighbours, as in
    the released code.
    """

    coordinates: Literal["cylindrical", "cartesian"] = "cylindrical"
    # (ρ m, φ degrees, z m) or (x m, y m, z m); None: (0.1, 1, 0.1) or (0.1, 0.1, 0.1)
    size: tuple[float, float, float] | None = None
    # x, y, z from and to: points outside make no voxel; None: all do
    range_m: tuple[float, float, float, float, float, float] | None = None
    intensity_scale: float = 1.0  # 1: as the sensor gives it, like the released code

    @model_validator(mode="after")
    def _check(self) -> "Voxelizer":
        if min(self.cell_size) <= 0:
            raise ValueError(f"size takes three numbers above 0, not {self.size}")
        if self.range_m and any(self.range_m[i] >= self.range_m[i + 3] for i in range(3)):
            raise ValueError(
                "range_m takes x, y, z where it begins, then x, y, z where it ends, each below its "
                f"end, not {self.range_m}"
            )
        return self

    @property
    def cell_size(self) -> tuple[float, float, float]:
        """The size in use."""
        return self.size or USUAL_SIZE[self.coordinates]

    @property
    def num_channels(self) -> int:
        """Channels of a voxel's feature: intensity."""
        return 1

    def inside(self, xyz_m: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Say which points are in the range (lower bound included)."""
        if self.range_m is None:
            return np.ones(len(xyz_m), dtype=bool)
        low, high = np.array(self.range_m).reshape(2, 3)
        return ((xyz_m >= low) & (xyz_m < high)).all(axis=1)

    def cells(self, xyz_m: Float[Tensor, "N 3"]) -> Int[Tensor, "N 3"]:
        """Return the cell index of each point, towards minus infinity.

        Computed in float32 in the order of the released code, so that points on a border fall on
        the same side.
        """
        x, y, z = xyz_m.float().unbind(1)
        size = self.cell_size
        if self.coordinates == "cylindrical":
            rho_m, phi_degrees = torch.sqrt(x**2 + y**2), torch.atan2(y, x) * 180 / np.pi
            scaled = torch.stack([rho_m / size[0], phi_degrees / size[1], z / size[2]], dim=1)
        else:
            scaled = torch.stack([x / size[0], y / size[1], z / size[2]], dim=1)
        return torch.floor(scaled).long()

    def voxelize(
        self,
        xyz_m: Sequence[Float[np.ndarray, "_ 3"]],
        intensity: Sequence[Float[np.ndarray, " _"]],
        every_point: bool = False,
    ) -> Voxels:
        """Return the voxels of a batch of frames, sorted by frame, z, y and x (or z, φ and ρ).

        A voxel keeps its point of lowest index. `voxel_of_point` is -1 for points outside
        `range_m`; with `every_point`, as evaluation needs to predict all points, they take the
        voxel whose kept point is nearest in metres in their own frame (slow: training drops them).
        Raises UserError for a frame that leaves no voxel and for points that are not finite.
        """
        points = [torch.from_numpy(np.asarray(frame, dtype=np.float32)) for frame in xyz_m]
        inside = [torch.from_numpy(self.inside(frame)) for frame in xyz_m]
        for number, (frame, used) in enumerate(zip(points, inside, strict=True)):
            self._check_frame(number, frame, used)
        frame_of = torch.repeat_interleave(
            torch.arange(len(points)), torch.tensor([len(frame) for frame in points])
        )
        of_batch, is_inside = torch.cat(points), torch.cat(inside)
        used = is_inside.nonzero()[:, 0]
        cells = torch.cat([frame_of[used, None], self.cells(of_batch[used])], dim=1)
        keys, first, voxel_of_used = _group(pack(cells))
        kept = used[first]
        voxel_of_point = torch.full((len(of_batch),), -1)
        voxel_of_point[used] = voxel_of_used
        if every_point and len(used) < len(of_batch):
            _fill_nearest(voxel_of_point, of_batch, kept, frame_of)
        values = torch.from_numpy(np.concatenate(intensity).astype(np.float32))
        all_points = torch.cat([of_batch, values[:, None] * self.intensity_scale], dim=1)
        features = all_points[kept, 3:]
        return Voxels(unpack(keys).int(), features, voxel_of_point, kept, all_points)

    def _check_frame(self, number: int, xyz_m: Tensor, used: Tensor) -> None:
        if not torch.isfinite(xyz_m).all():
            bad = int((~torch.isfinite(xyz_m)).any(dim=1).sum())
            raise UserError(
                f"{bad} points of frame {number} of the batch are not finite numbers: the scan is "
                "damaged."
            )
        if not used.any():
            why = (
                f"none of its {len(xyz_m)} points is in range_m {self.range_m}; widen the range"
                if len(xyz_m)
                else "it has no points"
            )
            raise UserError(f"Frame {number} of the batch leaves no voxel: {why}.")


def _group(
    keys: Int[Tensor, " N"],
) -> tuple[Int[Tensor, " V"], Int[Tensor, " V"], Int[Tensor, " N"]]:
    """Return the distinct keys in order, the first place of each and the group of every place."""
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
    """Give every point that has no voxel, -1, the nearest one of its frame."""
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
