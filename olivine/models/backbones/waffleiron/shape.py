"""The size of a WaffleIron, the space that it sees and its grids."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from olivine.core.spec import Spec

PROJECTIONS = ((0, 1), (0, 2), (1, 2))  # axes left along z, then y, then x: the grids' order


class WaffleShape(Spec):
    """The network's size, the part of space that it sees and its 2D grids.

    `grids` are cells in (x, y), (x, z) and (y, z), for the layers that project along z, y and x
    in turn; the first one or two are enough. The defaults are the released nuScenes network,
    WI-48-384 at 0.6 m. The one for SemanticKITTI has width 256, z from -3 to 2 m and grids of
    250 x 250 and twice 250 x 12. ScaLR's has width 768, norm `layer`, 64 m to all sides and 8 m
    up and down, grids of 256 x 256 and twice 256 x 32, no drop path while it pretrains, and
    intensities less their mean over their standard deviation: 18.742355 and 22.04632 on
    nuScenes, 0.28613698 and 0.14090556 on SemanticKITTI.

    All of them take one point per voxel of 0.1 m: `pretrained.voxels` with
    `coordinates=cartesian` and this `range_m`.
    """

    width: PositiveInt = Field(
        default=384, description="Channels of every layer, and of the features."
    )
    depth: PositiveInt = Field(default=48, description="Number of layers.")
    num_neighbours: PositiveInt = Field(
        default=16,
        description="Number of nearest points that a point's first feature is made from.",
    )
    range_m: tuple[float, float, float, float, float, float] = Field(
        default=(-50.0, -50.0, -5.0, 50.0, 50.0, 5.0),
        description="Lower then upper limits of x, y, z (m); a point outside is an error.",
    )
    grids: tuple[tuple[PositiveInt, PositiveInt], ...] = Field(
        default=((166, 166), (166, 16), (166, 16)),
        description="Cells of the 2D grids in (x, y), (x, z) and (y, z).",
    )
    norm: Literal["batch", "layer"] = Field(
        default="batch",
        description="Normalisation before each mix: batch norm, or layer norm as in ScaLR.",
    )
    drop_path: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Probability that a residual branch is dropped while the network trains.",
    )
    intensity_mean: float = Field(
        default=0.0, description="Mean that is subtracted from intensities."
    )
    intensity_std: PositiveFloat = Field(
        default=1.0, description="Standard deviation by which intensities are divided."
    )

    @model_validator(mode="after")
    def _check_space(self) -> "WaffleShape":
        if not 1 <= len(self.grids) <= len(PROJECTIONS):
            raise ValueError(
                "grids takes one to three pairs of cells, in (x, y), (x, z) and (y, z), not "
                f"{len(self.grids)}"
            )
        for i, axis in enumerate("xyz"):
            if self.range_m[i] >= self.range_m[i + 3]:
                raise ValueError(f"range_m must end above where it begins; {axis} does not")
        return self
