"""The interface between sparse networks and the engine that convolves, and our own engine.

A network keeps its weights and passes features as plain tensors. An engine only has to remember the
cells of a batch, level by level, and to convolve. A second engine is one class with one method.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from olivine.models.sparse.batch_norm import RowCount
from olivine.models.sparse.convolution import convolve
from olivine.models.sparse.kernel_maps import Cells, KernelMap, coarsen, occupied_cells, submanifold


@runtime_checkable
class Grid(Protocol):
    """The occupied cells of one batch; the cells of level l are 2**l times as large."""

    def convolve(
        self, features: Float[Tensor, "V inputs"], kernel: Tensor, source: int, target: int
    ) -> Float[Tensor, "W outputs"]:
        """Convolve from one level to the same, the next or the previous one.

        The kernel is MinkowskiEngine's (offsets, inputs, outputs), x fastest: size³ offsets with an
        odd size on one level, 2³ between two levels (transposed where the target is finer). Rows of
        level 0 are in the order of the coordinates from which the grid was made.
        """
        ...


@dataclass(frozen=True)
class SparseTensor:
    """Features on the cells of one level of a grid."""

    features: Float[Tensor, "V channels"]
    level: int
    grid: Grid
    _counts: dict[int, RowCount] = field(default_factory=dict, repr=False, compare=False)

    def carry(self, features: Float[Tensor, "V channels"]) -> "SparseTensor":
        """Return other features on the same cells."""
        return replace(self, features=features)

    def move(self, features: Float[Tensor, "W channels"], level: int) -> "SparseTensor":
        """Return features on the cells of another level."""
        return replace(self, features=features, level=level)

    @property
    def row_count(self) -> RowCount:
        """The number of this level's cells, which all tensors of the grid share."""
        return self._counts.setdefault(self.level, RowCount(len(self.features)))


class TorchGrid:
    """Our engine, in plain PyTorch; every kernel map is built when it is first needed and kept."""

    def __init__(self, coordinates: Int[Tensor, "V 4"]):
        """Take (frame, x, y, z) of every occupied cell; no cell occurs twice."""
        self._cells: list[Cells] = [occupied_cells(coordinates)]
        self._down: list[KernelMap] = []
        self._submanifold: dict[tuple[int, int], KernelMap] = {}

    def convolve(
        self, features: Float[Tensor, "V inputs"], kernel: Tensor, source: int, target: int
    ) -> Float[Tensor, "W outputs"]:
        """Convolve as `Grid` describes."""
        return convolve(features, kernel, self.kernel_map(len(kernel), source, target))

    def kernel_map(self, num_offsets: int, source: int, target: int) -> KernelMap:
        """Return the map of a kernel between two levels, built at the first call."""
        size = round(num_offsets ** (1 / 3))
        assert size**3 == num_offsets, "kernels are cubes"
        if source == target:
            return self._submanifold_map(source, size)
        assert size == 2, "kernels between two levels are 2³"
        assert abs(target - source) == 1, "levels follow one another"
        down = self._down_map(min(source, target))
        return down if target > source else down.reversed()

    def _submanifold_map(self, level: int, size: int) -> KernelMap:
        assert size % 2, "kernels on one level are odd, so that they have a centre"
        if (level, size) not in self._submanifold:
            if level:
                self._down_map(level - 1)
            self._submanifold[level, size] = submanifold(self._cells[level], size)
        return self._submanifold[level, size]

    def _down_map(self, level: int) -> KernelMap:
        while len(self._down) <= level:
            cells, down = coarsen(self._cells[-1])
            self._cells.append(cells)
            self._down.append(down)
        return self._down[level]
