"""Kernel maps: the source and target cells of each offset of a convolution's kernel.

Offsets are numbered as in MinkowskiEngine, x fastest: k = x + size * (y + size * z), from -(size //
2) for odd sizes and from 0 for even ones.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from olivine.data.geometry.cell_keys import offset_key, pack, unpack

END = torch.iinfo(torch.int64).max  # a key past every cell


@dataclass(frozen=True)
class Cells:
    """The occupied cells of one level."""

    keys: Int[Tensor, " V"]  # packed, ascending
    rows: Int[Tensor, " V"] | None  # feature row of each key; None where they are the same

    def __len__(self) -> int:
        return len(self.keys)

    def row_of(self, position: Int[Tensor, " P"]) -> Int[Tensor, " P"]:
        """Return the feature rows of positions in `keys`."""
        return position if self.rows is None else self.rows[position]


@dataclass(frozen=True)
class KernelMap:
    """Pairs of rows: each of `sources` adds its product with kernel[k] to one of `targets`.

    Pairs are sorted by offset; within one offset no target occurs twice.
    """

    sources: Int[Tensor, " P"]
    targets: Int[Tensor, " P"]
    counts: tuple[int, ...]  # pairs of each offset
    num_sources: int
    num_targets: int
    identity: int | None = None  # offset from every row to itself, whose pairs are left out
    _pieces: dict[int | None, list[tuple[int, Tensor, Tensor]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def pieces(self, most: int | None) -> list[tuple[int, Tensor, Tensor]]:
        """Return offsets with their source and target rows, at most `most` rows at once.

        The result is kept, because all layers of a level need it, forwards and backwards.
        """
        if most not in self._pieces:
            self._pieces[most] = self._cut(most)
        return self._pieces[most]

    def _cut(self, most: int | None) -> list[tuple[int, Tensor, Tensor]]:
        offsets, sizes = [], []
        for offset, count in enumerate(self.counts):
            step = max(most or count, 1)
            for first in range(0, count, step):
                offsets.append(offset)
                sizes.append(min(step, count - first))
        return list(zip(offsets, self.sources.split(sizes), self.targets.split(sizes), strict=True))

    def reversed(self) -> "KernelMap":
        """Return the map of the transposed convolution."""
        return replace(
            self,
            sources=self.targets,
            targets=self.sources,
            num_sources=self.num_targets,
            num_targets=self.num_sources,
            _pieces={},
        )

    @cached_property
    def table_index(self) -> Int[Tensor, " P"]:
        """The flat position of each pair's source in a (targets, offsets) table."""
        counts = torch.tensor(self.counts, device=self.targets.device)
        offsets = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        return self.targets * len(counts) + offsets


def occupied_cells(coordinates: Int[Tensor, "V 4"]) -> Cells:
    """Return the cells of the finest level; features keep the order of `coordinates`."""
    keys, rows = torch.sort(pack(coordinates))
    assert not (keys[1:] == keys[:-1]).any(), "each cell may occur once"
    in_order = torch.arange(len(rows), device=rows.device)
    return Cells(keys, None if torch.equal(rows, in_order) else rows)


def coarsen(fine: Cells) -> tuple[Cells, KernelMap]:
    """Return the cells of twice the size and the map of the 2³ convolution of stride 2.

    A cell's parent is its index halved towards minus infinity, so the tiling is the same
    everywhere.
    """
    coordinates = unpack(fine.keys)
    x, y, z = (coordinates[:, 1:] & 1).unbind(1)
    offsets = x + 2 * y + 4 * z  # not a matrix product: CUDA has none of integers
    coordinates[:, 1:] >>= 1
    keys, parents = torch.unique(pack(coordinates), return_inverse=True)
    order = torch.sort(offsets, stable=True).indices
    counts = torch.bincount(offsets, minlength=8).tolist()
    sources, targets = fine.row_of(order), parents[order]
    return Cells(keys, None), KernelMap(sources, targets, tuple(counts), len(fine), len(keys))


def submanifold(cells: Cells, size: int) -> KernelMap:
    """Return the map of an odd kernel whose targets are the occupied cells themselves.

    Only the first half of the offsets is searched: if b is at an offset from a, a is at the
    opposite offset from b. Neighbours in x have consecutive keys, so one binary search serves a row
    of the kernel.
    """
    centre = size**3 // 2
    found, positions = _neighbours(cells.keys, size)
    offsets, targets = found.nonzero(as_tuple=True)
    sources = positions[offsets, targets]
    half = torch.bincount(offsets, minlength=centre).tolist()
    opposite = torch.sort(centre - 1 - offsets, stable=True).indices
    sources, targets = cells.row_of(sources), cells.row_of(targets)
    return KernelMap(
        torch.cat([sources, targets[opposite]]),
        torch.cat([targets, sources[opposite]]),
        (*half, 0, *reversed(half)),
        len(cells),
        len(cells),
        identity=centre,
    )


def _neighbours(
    keys: Int[Tensor, " V"], size: int
) -> tuple[Bool[Tensor, "half V"], Int[Tensor, "half V"]]:
    """Return, for each offset before the centre, which cells have that neighbour, and where."""
    reach, centre = size // 2, size**3 // 2
    padded = torch.cat([keys, keys.new_tensor([END])])
    found = torch.zeros(centre, len(keys), dtype=torch.bool, device=keys.device)
    positions = keys.new_zeros(centre, len(keys))
    for start in range(0, centre, size):
        dy, dz = start // size % size - reach, start // size**2 - reach
        wanted = keys + offset_key(-reach, dy, dz)
        position = torch.searchsorted(keys, wanted)
        for k in range(start, min(start + size, centre)):
            found[k] = padded[position] == wanted
            positions[k] = position
            position = position + found[k]
            wanted = wanted + 1
    return found, positions
