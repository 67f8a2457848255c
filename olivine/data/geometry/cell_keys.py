"""Cells of a sparse grid as sortable integers.

A cell is (frame, x, y, z) in units of its level's cell size. It is packed into one int64 whose
lowest bits are x, then y, z and the frame. Sorting therefore puts a frame's cells together and
neighbours in x side by side, and a neighbour's key is the sum of a key and an offset.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from olivine.core.errors import UserError

BITS = 16  # per axis; ±3.2 km at 10 cm
HALF = 1 << (BITS - 1)
MASK = (1 << BITS) - 1
MARGIN = 8  # cells kept free at the rim, so that kernels up to 17 wide stay on their axis
MAX_FRAMES = 1 << (63 - 3 * BITS)


def pack(coordinates: Int[Tensor, "V 4"]) -> Int[Tensor, " V"]:
    """Return one int64 per cell; raise UserError for a cell too far from the origin to pack."""
    _check(coordinates)
    frame, x, y, z = coordinates.long().unbind(1)
    return (((frame << BITS | z + HALF) << BITS | y + HALF) << BITS) | x + HALF


def unpack(keys: Int[Tensor, " V"]) -> Int[Tensor, "V 4"]:
    """Return the cells of packed keys."""
    axes = [(keys >> shift & MASK) - HALF for shift in (0, BITS, 2 * BITS)]
    return torch.stack([keys >> 3 * BITS, *axes], dim=1)


def offset_key(dx: int, dy: int, dz: int) -> int:
    """Return the number that, added to a cell's key, gives the key of the cell at an offset."""
    return dx + (dy << BITS) + (dz << 2 * BITS)


def _check(coordinates: Tensor) -> None:
    if not len(coordinates):
        return
    low, high = torch.aminmax(coordinates[:, 1:])
    reach = max(-int(low), int(high))
    if reach >= HALF - MARGIN:
        raise UserError(
            f"A voxel lies {reach} cells from the sensor and {HALF - MARGIN - 1} are allowed: "
            "take larger voxels or set a coordinate range."
        )
    first, last = torch.aminmax(coordinates[:, 0])
    assert first >= 0, "frames of a batch count from 0"
    assert last < MAX_FRAMES, f"a batch holds at most {MAX_FRAMES} frames"
