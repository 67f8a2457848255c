"""MinkUNet, the sparse U-Net of Choy et al., "4D Spatio-Temporal ConvNets" (CVPR 2019).

It has the form of Xie et al., "PointContrast" (ECCV 2020, Res16UNet), which PPKT, SLidR, Seal and
OLIVINE pretrain. The defaults are Res16UNet34C: 37.84 M parameters, 96 channels per voxel. Modules
and weights have the names of SLidR's code, so its checkpoints fit.
"""

from collections.abc import Callable, Iterator

from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.data.batch import Voxels
from olivine.models.backbones.minkunet.shape import UNetShape
from olivine.models.sparse.grid import Grid, SparseTensor
from olivine.models.sparse.modules import BatchNorm, Convolution, add, concatenate, relu


class SparseUNet(nn.Module):
    """A network from voxels to one row of features per voxel, in the order of the voxels."""

    def __init__(
        self, shape: UNetShape, num_input_channels: int, open_grid: Callable[[Tensor], Grid]
    ):
        super().__init__()
        self._open_grid = open_grid
        levels = len(shape.planes) // 2
        momentum = shape.bn_momentum
        stem = shape.stem_channels
        self.conv0p1s1 = Convolution(num_input_channels, stem, shape.stem_size)
        self.bn0 = BatchNorm(stem, momentum)
        self._down, self._up = [], []
        skips = [stem, *shape.planes[: levels - 1]]
        channels = stem
        for i, (planes, blocks) in enumerate(zip(shape.planes, shape.blocks, strict=True)):
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
            self.add_module(names[2], _stage(outputs, planes, blocks, shape))
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
        """Return the features of cells that are given as plain tensors."""
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

    def __init__(self, inputs: int, outputs: int, shape: UNetShape):
        super().__init__()
        momentum = shape.bn_momentum_blocks
        self.conv1 = Convolution(inputs, outputs)
        self.norm1 = BatchNorm(outputs, momentum)
        self.conv2 = Convolution(outputs, outputs)
        self.norm2 = BatchNorm(outputs, momentum)
        self.downsample: nn.Module | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(
                Convolution(inputs, outputs, 1), BatchNorm(outputs, shape.bn_momentum)
            )

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return the block's output on the same cells."""
        shortcut = tensor if self.downsample is None else self.downsample(tensor)
        tensor = relu(self.norm1(self.conv1(tensor)))
        return relu(add(self.norm2(self.conv2(tensor)), shortcut))


def _stage(inputs: int, outputs: int, blocks: int, shape: UNetShape) -> nn.Sequential:
    first = ResidualBlock(inputs, outputs, shape)
    return nn.Sequential(
        first, *(ResidualBlock(outputs, outputs, shape) for _ in range(blocks - 1))
    )
