"""MinkowskiEngine behind the interface of engines: the engine of the published codes.

It is built on the machine that uses it (docs/networks.md has the commands). Its sources up to the
last, 0.5.4 and its branches `master` and `dev`, have kernels for float and double alone, on CPUs
and on GPUs: under autocast such a build convolves in single precision. A build with kernels for
autocast's precision is used in it; its own sums are then as its kernels make them.
"""

import collections
import collections.abc
import importlib
import logging
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.core.errors import UserError
from olivine.data.geometry.cell_keys import pack
from olivine.models.sparse.grid import Grid

MAX_ERROR = 0.05  # of a half precision that works, as a share of the result's length
log = logging.getLogger("olivine")


def minkowski_engine() -> Any:
    """Return the package; raise UserError if it is not installed or cannot be loaded."""
    # It uses a name that Python 3.10 removed.
    collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined] # typeshed follows 3.10
    try:
        return importlib.import_module("MinkowskiEngine")
    except ImportError as error:
        raise UserError(
            f"backbone.engine=minkowski needs MinkowskiEngine, which does not load ({error}): "
            "build it by the commands of docs/networks.md, or take engine=torch, "
            "which needs nothing and gives the same numbers."
        ) from None


class MinkowskiGrid:
    """The occupied cells of one batch, in MinkowskiEngine's coordinate manager."""

    def __init__(self, coordinates: Int[Tensor, "V 4"]):
        """Take (frame, x, y, z) of every occupied cell; no cell occurs twice."""
        self._engine = minkowski_engine()
        # Asked here, because within a block whose activations are computed again the trial's
        # own backward pass would be taken for the block's.
        self._precision = product_precision(coordinates.device)
        pack(coordinates)  # raises for the same limits as ours
        device = coordinates.device.type
        kinds = self._engine.CoordinateMapType
        self._manager = self._engine.CoordinateManager(
            D=3, coordinate_map_type=kinds.CUDA if device == "cuda" else kinds.CPU
        )
        self._keys: list[Any] = []
        self._rows = torch.arange(len(coordinates), device=coordinates.device)
        if len(coordinates):  # MinkowskiEngine ends the process if there is nothing to convolve
            key, (rows, _) = self._manager.insert_and_map(coordinates.int().contiguous(), [1, 1, 1])
            self._keys.append(key)
            if len(rows):  # MinkowskiEngine orders the cells itself
                self._rows = rows.long()

    def convolve(
        self, features: Float[Tensor, "V inputs"], kernel: Tensor, source: int, target: int
    ) -> Float[Tensor, "W outputs"]:
        """Convolve as `Grid` describes, in autocast's precision if the build has it."""
        if self._precision and kernel.dtype != torch.float64:
            kernel = kernel.to(self._precision)
        features = features.to(kernel.dtype)
        if not self._keys:
            return features.sum() * kernel.sum() * features.new_zeros(0, kernel.shape[2])
        engine, step = self._engine, target - source
        mode = importlib.import_module("MinkowskiEngineBackend._C").ConvolutionMode.DEFAULT
        size = round(len(kernel) ** (1 / 3))
        generator = engine.KernelGenerator(size, stride=2 if step else 1, dimension=3)
        while len(self._keys) <= target:
            self._keys.append(self._manager.stride(self._keys[-1], [2, 2, 2]))
        function = (
            engine.MinkowskiConvolutionTransposeFunction
            if step < 0
            else engine.MinkowskiConvolutionFunction
        )
        if source == 0:
            features = features[self._rows]
        keys = self._keys[source], self._keys[target]
        result = function.apply(features, kernel, generator, mode, *keys, self._manager)
        if target == 0:
            result = torch.empty_like(result).index_copy(0, self._rows, result)
        return result


def product_precision(device: torch.device) -> torch.dtype | None:
    """Return autocast's precision if the build convolves in it on a device, else None."""
    if not torch.is_autocast_enabled(device.type):
        return None
    precision = torch.get_autocast_dtype(device.type)
    return precision if convolves_in(precision, device.type, MinkowskiGrid) else None


@cache
def convolves_in(precision: torch.dtype, device: str, open_grid: Callable[[Tensor], Grid]) -> bool:
    """Return whether an engine convolves in a precision there, forwards and backwards.

    It is tried once. A build without the kernels refuses the type; one whose results are wrong
    counts as one without.
    """
    try:
        expected, found = (_tried(dtype, device, open_grid) for dtype in (torch.float32, precision))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
    else:
        pairs = zip(found, expected, strict=True)
        if all((one - two).norm() <= MAX_ERROR * two.norm() for one, two in pairs):
            return True
        reason = "its results differ"
    log.info("MinkowskiEngine convolves in float32 and not in %s: %s", precision, reason)
    return False


def _tried(dtype: torch.dtype, device: str, open_grid: Callable[[Tensor], Grid]) -> list[Tensor]:
    """Return a small network's output and gradients: all directions of convolution."""
    cells = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 4, 0, 6]], device=device)
    shapes = (len(cells), 8), (27, 8, 16), (8, 16, 16), (8, 16, 8)
    with torch.enable_grad(), torch.autocast(device, enabled=False):
        given = []
        for shape in shapes:  # positive, since differences of products have fewer digits
            waves = torch.sin(torch.arange(math.prod(shape), device=device).float()).view(shape)
            given.append(((2 + waves) / shape[-1]).to(dtype).requires_grad_())
        grid, rows = open_grid(cells), given[0]
        for kernel, levels in zip(given[1:], ((0, 0), (0, 1), (1, 0)), strict=True):
            rows = grid.convolve(rows, kernel, *levels)
        gradients = torch.autograd.grad(rows.float().square().mean(), given)
    return [tensor.detach().float() for tensor in (rows, *gradients)]
