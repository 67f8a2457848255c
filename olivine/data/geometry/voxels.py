"""Settings of voxelization; the computation is in `voxelization`, which imports torch."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field, model_validator

from olivine.core.spec import Spec

USUAL_SIZE = {"cylindrical": (0.1, 1.0, 0.1), "cartesian": (0.1, 0.1, 0.1)}


class Voxelizer(Spec):
    """How space is divided into voxels, and what a voxel's input feature is.

    The released code of SLidR and OLIVINE divides distance, azimuth and height (ρ, φ, z) of any
    point; OLIVINE's paper (appendix A.3) divides x, y, z at 0.1 m with x and y in ±51.2 m and z
    in -5..3 m: `coordinates="cartesian", range_m=(-51.2, -51.2, -5, 51.2, 51.2, 3)`. Azimuth
    does not wrap around: voxels on the two sides of the -x axis are no neighbours, as in the
    released code.
    """

    coordinates: Literal["cylindrical", "cartesian"] = Field(
        default="cylindrical",
        description="Coordinates that are divided: cylindrical (ρ, φ, z) or cartesian (x, y, z).",
    )
    size: tuple[float, float, float] | None = Field(
        default=None,
        description="Size of a voxel, (ρ m, φ degrees, z m) or (x m, y m, z m); null means (0.1, "
        "1, 0.1) or (0.1, 0.1, 0.1).",
    )
    range_m: tuple[float, float, float, float, float, float] | None = Field(
        default=None,
        description="Lower then upper limits of x, y, z (m); points outside get no voxel; null "
        "has no limits.",
    )
    intensity_scale: float = Field(
        default=1.0,
        description="Factor of the intensity; 1 keeps the sensor's values, as the released code "
        "does.",
    )

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
        """The size of a voxel, with the default where `size` is None."""
        return self.size or USUAL_SIZE[self.coordinates]

    @property
    def num_channels(self) -> int:
        """The number of channels of a voxel's feature: the intensity."""
        return 1

    def inside(self, xyz_m: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Return which points are in the range, whose lower limits are included."""
        if self.range_m is None:
            return np.ones(len(xyz_m), dtype=bool)
        low, high = np.array(self.range_m).reshape(2, 3)
        return ((xyz_m >= low) & (xyz_m < high)).all(axis=1)
