"""Convolution of any kernel, stride and padding on a bounded grid, as in spconv (Yan et al., 2018).

A grid has cells 0 to n - 1 per axis. Output cell o sees input cells o * stride - padding + k for 0
<= k < size, like torch's dense convolution, and exists where one of them is occupied. Offsets are
numbered x fastest: k = x + size_x * (y + size_y * z). All triples are (x, y, z).
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from olivine.data.geometry.cell_keys import pack, unpack
from olivine.models.sparse.kernel_maps import Cells, KernelMap
from olivine.models.sparse.shapes import Triple, output_shape


def strided(
    cells: Cells, shape: Triple, size: Triple, stride: Triple, padding: Triple
) -> tuple[Cells, KernelMap]:
    """Return the occupied output cells, by ascending key, and the convolution's kernel map.

    `cells` must lie in a grid of `shape`; the outputs lie in a grid of `output_shape(shape, size,
    stride, padding)`. The map is for `convolve`, with a kernel (size_x * size_y * size_z, inputs,
    outputs). Raises UserError for a grid too large to be packed.
    """
    coordinates = unpack(cells.keys)
    shape_out = output_shape(shape, size, stride, padding)
    reached, seen_by = zip(
        *(
            _along(coordinates[:, 1 + axis], size[axis], stride[axis], padding[axis], limit)
            for axis, limit in enumerate(shape_out)
        ),
        strict=True,
    )
    x, y, z = reached
    pairs = z[:, None, None] & y[:, None] & x  # (size_z, size_y, size_x, cells)
    on_z, on_y, on_x, position = pairs.nonzero(as_tuple=True)
    targets = [coordinates[position, 0]]
    targets += [
        axis[offset, position] for axis, offset in zip(seen_by, (on_x, on_y, on_z), strict=True)
    ]
    keys, target_rows = torch.unique(pack(torch.stack(targets, dim=1)), return_inverse=True)
    kernel_map = KernelMap(
        cells.row_of(position),
        target_rows,
        tuple(pairs.flatten(0, 2).sum(dim=1).tolist()),
        len(cells),
        len(keys),
    )
    return Cells(keys, None), kernel_map


def _along(
    index: Int[Tensor, " V"], size: int, stride: int, padding: int, limit: int
) -> tuple[Bool[Tensor, "size V"], Int[Tensor, "size V"]]:
    """Return, for each offset of one axis, whether an output sees the cell, and which output."""
    offsets = torch.arange(size, device=index.device)[:, None]
    first = index + padding - offsets
    output = torch.div(first, stride, rounding_mode="floor")
    return (first % stride == 0) & (output >= 0) & (output < limit), output
