"""The part of space that VoxelNet sees, its voxels, and the grid of its map."""

from pydantic import Field, model_validator

from olivine.core.spec import Spec
from olivine.models.sparse.shapes import Triple, output_shape

OUTPUTS = 128
MAP_STRIDE = 8  # voxels along a side of one cell of the map
# Kernel size, stride and padding of conv2, conv3, conv4 and conv_out.
DOWN: tuple[tuple[Triple, Triple, Triple], ...] = (
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 0)),
    ((1, 1, 3), (1, 1, 2), (0, 0, 0)),
)
FEWEST_HIGH = 25  # smallest number of cells in z, which the strides reduce to one
ROUNDING = 0.01  # of a cell, since voxels are computed in float32, perhaps on another device


class VoxelGrid(Spec):
    """The part of space that the network sees and its voxels, both in metres.

    The data must have the same voxels: `pretrained.voxels` with `coordinates=cartesian`,
    `size=size_m` and `range_m` within this one. The defaults are those of the released codes of
    SLidR and OLIVINE: 1024 x 1024 x 40 voxels, a map of 128 x 128 x 1 cells. That cell sees
    voxels more than 0.6 m above the sensor only through lower neighbours. Detectors of
    OpenPCDet take one more layer of empty voxels on top, `spare_cells_z=1`, which gives a
    second cell in z for what is higher, and twice the channels; the weights are the same.
    """

    range_m: tuple[float, float, float, float, float, float] = Field(
        default=(-51.2, -51.2, -5.0, 51.2, 51.2, 3.0),
        description="Lower then upper limits of x, y, z (m), each a multiple of the voxel's size.",
    )
    size_m: tuple[float, float, float] = Field(
        default=(0.1, 0.1, 0.2), description="Size of a voxel along x, y and z (m)."
    )
    spare_cells_z: int = Field(
        default=0,
        ge=0,
        le=1,
        description="Layers of empty voxels on top; 1 gives the map a second cell in z, as "
        "OpenPCDet does.",
    )

    @model_validator(mode="after")
    def _check_grid(self) -> "VoxelGrid":
        if min(self.size_m) <= 0:
            raise ValueError(f"size_m takes three numbers above 0, not {self.size_m}")
        for i, (axis, size) in enumerate(zip("xyz", self.size_m, strict=True)):
            begin, end = self.range_m[i] / size, self.range_m[i + 3] / size
            if begin >= end:
                raise ValueError(f"range_m must end above where it begins; {axis} does not")
            if max(abs(begin - round(begin)), abs(end - round(end))) > ROUNDING:
                raise ValueError(
                    "range_m takes whole voxels, from a multiple of size_m to another: along "
                    f"{axis} it goes from {self.range_m[i]} to {self.range_m[i + 3]} m, in "
                    f"voxels of {size} m from {begin:.6g} to {end:.6g}"
                )
        if self.grid_shape[2] < FEWEST_HIGH:
            raise ValueError(
                f"range_m holds {self.grid_shape[2]} voxels in z and the network needs at least "
                f"{FEWEST_HIGH}: take lower voxels or a higher range"
            )
        return self

    @property
    def first_cell(self) -> Triple:
        """The index of the range's first voxel in x, y and z, where voxel 0 begins at 0 m."""
        x, y, z = (round(self.range_m[i] / self.size_m[i]) for i in range(3))
        return x, y, z

    @property
    def grid_shape(self) -> Triple:
        """The number of voxels in x, y and z, with the spare ones."""
        x, y, z = (round(self.range_m[i + 3] / self.size_m[i]) for i in range(3))
        x0, y0, z0 = self.first_cell
        return x - x0, y - y0, z - z0 + self.spare_cells_z

    @property
    def map_shape(self) -> Triple:
        """The number of cells of the map in x, y and z."""
        shape = self.grid_shape
        for window in DOWN:
            shape = output_shape(shape, *window)
        return shape
