"""MinkowskiEngine behind our interface: the engine of the published codes.

It is built on the machine that uses it (docs/networks.md has the commands). It has no half
precision on a CPU and takes none here on a GPU either: under autocast it convolves in single
precision.
"""

import collections
import collections.abc
import importlib
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olivine.core.errors import UserError
from olivine.data.geometry.cell_keys import pack


def minkowski_engine() -> Any:
    """Return the package; raise UserError where it is not installed or does not load."""
    # It asks for a name that Python 3.10 took away.
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
        """Take (frame, x, y, z) of every occupied cell, none twice."""
        self._engine = minkowski_engine()
        pack(coordinates)  # the same limits as ours
        device = coordinates.device.type
        kinds = self._engine.CoordinateMapType
        self._manager = self._engine.CoordinateManager(
            D=3, coordinate_map_type=kinds.CUDA if device == "cuda" else kinds.CPU
        )
        self._keys: list[Any] = []
        self._rows = torch.arange(len(coordinates), device=coordinates.device)
        if len(coordinates):  # it ends the process where there is nothing to convolve
            key, (rows, _) = self._manager.insert_and_map(coordinates.int().contiguous(), [1, 1, 1])
            self._keys.append(key)
            if len(rows):  # its order of the cells
                self._rows = rows.long()

    def convolve(
        self, features: Float[Tensor, "V inputs"], kernel: Tensor, source: int, target: int
    ) -> Float[Tensor, "W outputs"]:
        """Convolve as `Grid` says, in the kernel's precision."""
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
