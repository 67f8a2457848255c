"""MinkUNet, the sparse U-Net of Choy et al., "4D Spatio-Temporal ConvNets" (CVPR 2019).

In the form of Xie et al., "PointContrast" (ECCV 2020, Res16UNet), which PPKT, SLidR, Seal and
OLIVINE pretrain. The defaults are Res16UNet34C: 37.84 M parameters, 96 channels per voxel.
Modules and weights carry the names of SLidR's code, so its checkpoints fit.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from jaxtyping import Float, Int
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from olivine.network_parts import Backbone
from olivine.sparse.grid import Grid, SparseTensor, TorchGrid
from olivine.sparse.minkowski import MinkowskiGrid, minkowski_engine
from olivine.sparse.modules import BatchNorm, Convolution, add, concatenate, relu
from olivine.tensors import Voxels


class MinkUNet(Backbone):
    """Settings: channels and residual blocks per stage, encoder first, then decoder.

    L levels take 2 L stages: L down, then L up to the input's voxels. The official code passes
    its batch norms' momentum to all but those inside the residual blocks, which keep torch's 0.1;
    set both alike to differ. `engine` says who convolves on this machine; results are equal up to
    rounding, so a checkpoint of one goes on with the other.
    """

    kind: ClassVar[str] = "minkunet"
    places: ClassVar[frozenset[str]] = Backbone.places | {"engine"}

    stem_channels: PositiveInt = 32
    stem_size: int = Field(default=3, ge=3, le=9, multiple_of=1)
    planes: tuple[PositiveInt, ...] = (32, 64, 128, 256, 256, 128, 96, 96)
    blocks: tuple[PositiveInt, ...] = (2, 3, 4, 6, 2, 2, 2, 2)
    bn_momentum: float = Field(default=0.05, gt=0, le=1)
    bn_momentum_blocks: float = Field(default=0.1, gt=0, le=1)
    engine: Literal["torch", "minkowski"] = "torch"

    @model_validator(mode="after")
    def _check_stages(self) -> "MinkUNet":
        if len(self.planes) < 2 or len(self.planes) % 2:
            raise ValueError(
                "planes takes two numbers per level, the encoder's then the decoder's, "
                f"so 2, 4, 6 or 8 of them, not {len(self.planes)}"
            )
        if len(self.blocks) != len(self.planes):
            raise ValueError(
                f"blocks takes one number per stage like planes: {len(self.planes)}, "
                f"not {len(self.blocks)}"
            )
        if self.stem_size % 2 == 0:
            raise ValueError(f"stem_size is odd (3, 5, 7 or 9), not {self.stem_size}")
        return self

    @property
    def num_channels(self) -> int:
        """Channels of a voxel's feature: the last stage's."""
        return self.planes[-1]

    def build(self, num_input_channels: int) -> "SparseUNet":
        """Return the network; raise UserError for an engine that is not installed."""
        if self.engine == "minkowski":
            minkowski_engine()
            return SparseUNet(self, num_input_channels, MinkowskiGrid)
        return SparseUNet(self, num_input_channels, TorchGrid)


class SparseUNet(nn.Module):
    """The network: voxels to one feature row per voxel, in the voxels' order."""

    def __init__(
        self, settings: MinkUNet, num_input_channels: int, open_grid: Callable[[Tensor], Grid]
    ):
        super().__init__()
        self._open_grid = open_grid
        levels = len(settings.planes) // 2
        momentum = settings.bn_momentum
        stem = settings.stem_channels
        self.conv0p1s1 = Convolution(num_input_channels, stem, settings.stem_size)
        self.bn0 = BatchNorm(stem, momentum)
        self._down, self._up = [], []
        skips = [stem, *settings.planes[: levels - 1]]
        channels = stem
        for i, (planes, blocks) in enumerate(zip(settings.planes, settings.blocks, strict=True)):
            if i < levels:
                names = f"conv{i + 1}p{2**i}s2", f"bn{i + 1}", f"block{i + 1}"
                outputs, step = channels, 1
                self._down.append(names)
            else:
                names = f"convtr{i}p{2 ** (2 * levels - i)}s2", f"bntr{i}", f"block{i + 1}"
                outputs, step = planes, -1
                self._up.append(names)
            self.add_module(names[0], Convolution(channels, outputs, 2, step))
            self.add_module(names[1], BatchNorm(outputs, momentum))
            if i >= levels:
                outputs += skips.pop()
            self.add_module(names[2], _stage(outputs, planes, blocks, settings))
            channels = planes

    def blocks(self) -> Iterator[nn.Module]:
        """Return the residual blocks, which hold most of the activations."""
        return (module for module in self.modules() if isinstance(module, ResidualBlock))

    def forward(self, voxels: Voxels) -> Float[Tensor, "V channels"]:
        """Return features in the order of `voxels.coordinates`."""
        return self.features(voxels.coordinates, voxels.features)

    def features(
        self, coordinates: Int[Tensor, "V 4"], features: Float[Tensor, "V inputs"]
    ) -> Float[Tensor, "V channels"]:
        """Return features of cells given as plain tensors."""
        tensor = SparseTensor(features, 0, self._open_grid(coordinates))
        tensor = relu(self.bn0(self.conv0p1s1(tensor)))
        skips = []
        for names in self._down:
            skips.append(tensor)
            tensor = self._stage(names, tensor, None)
        for names in self._up:
            tensor = self._stage(names, tensor, skips.pop())
        return tensor.features

    def _stage(
        self, names: tuple[str, str, str], tensor: SparseTensor, skip: SparseTensor | None
    ) -> SparseTensor:
        resample, norm, blocks = (self.get_submodule(name) for name in names)
        tensor = relu(norm(resample(tensor)))
        if skip is not None:
            tensor = concatenate(tensor, skip)
        return blocks(tensor)


class ResidualBlock(nn.Module):
    """Two 3³ convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, settings: MinkUNet):
        super().__init__()
        momentum = settings.bn_momentum_blocks
        self.conv1 = Convolution(inputs, outputs)
        self.norm1 = BatchNorm(outputs, momentum)
        self.conv2 = Convolution(outputs, outputs)
        self.norm2 = BatchNorm(outputs, momentum)
        self.downsample: nn.Module | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(
                Convolution(inputs, outputs, 1), BatchNorm(outputs, settings.bn_momentum)
            )

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return the block's tensor on the same cells."""
        shortcut = tensor if self.downsample is None else self.downsample(tensor)
        tensor = relu(self.norm1(self.conv1(tensor)))
        return relu(add(self.norm2(self.conv2(tensor)), shortcut))


def _stage(inputs: int, outputs: int, blocks: int, settings: MinkUNet) -> nn.Sequential:
    first = ResidualBlock(inputs, outputs, settings)
    return nn.Sequential(
        first, *(ResidualBlock(outputs, outputs, settings) for _ in range(blocks - 1))
    )


def num_parameters(network: nn.Module) -> int:
    """Return how many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
