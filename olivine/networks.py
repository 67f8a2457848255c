"""The student, the teacher and the heads between them.

*Sample, then project* (METHOD §10.2): the teacher's map is read at the pixels that are needed,
then goes through the linear head and is normalised. A 1x1 convolution commutes with
interpolation, so this equals projecting and enlarging the whole map first, at a thousandth of
the memory.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from olivine.objective import Objective
from olivine.tensors import Batch, PairTable


class Distillation(nn.Module):
    """Everything a pretraining step runs: batch in, loss out.

    It is one module so that data-parallel wrappers see every parameter used in one forward.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        num_point_channels: int,
        teacher: nn.Module | None,
        num_pixel_channels: int,
        objective: Objective,
        heads: Iterable[str],
        num_channels: int,
    ):
        super().__init__()
        self.backbone = backbone
        self.teacher = Frozen(teacher) if teacher is not None else None
        self.objective = objective
        self.point_heads = nn.ModuleDict(
            {head: nn.Linear(num_point_channels, num_channels) for head in heads}
        )
        self.pixel_heads = nn.ModuleDict(
            {head: nn.Linear(num_pixel_channels, num_channels) for head in _pixel_heads(objective)}
        )

    def forward(
        self,
        batch: Batch,
        group_of_frame: Callable[[Tensor], Tensor],
        generators: Callable[[int, int], torch.Generator],
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the total loss and the value of every term."""
        voxel_rows = self.backbone(batch.voxels)
        maps = self.teacher(batch.images) if self.teacher is not None else None
        features = _Features(self, voxel_rows, maps, batch.images.shape[-2:])
        return self.objective(features, batch.pairs, group_of_frame, generators)


class Frozen(nn.Module):
    """A network in eval mode, without gradients, that refuses to be trained."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in eval mode, whatever the mode of the module around it."""
        self.training = mode
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the network's features, detached."""
        return self.network(images)


class _Features:
    """Features of one batch, projected when asked for."""

    def __init__(
        self,
        networks: Distillation,
        voxel_rows: Tensor,
        maps: Tensor | None,
        image_size_px: tuple[int, ...],
    ):
        self._networks, self._voxel_rows = networks, voxel_rows
        self._maps, self._image_size_px = maps, image_size_px

    def points(self, head: str, pairs: PairTable) -> Tensor:
        rows = self._voxel_rows[pairs.voxel_index]
        return F.normalize(self._networks.point_heads[head](rows), dim=1)

    def pixels(self, head: str, pairs: PairTable) -> Tensor:
        assert self._maps is not None, "a term with pixels needs a teacher"
        rows = read_map(self._maps, pairs.pixel_index, self._image_size_px)
        return F.normalize(self._networks.pixel_heads[head](rows), dim=1)


def read_map(
    maps: Float[Tensor, "images D r c"],
    pixel_index: Int[Tensor, "M 3"],
    image_size_px: tuple[int, ...],
) -> Float[Tensor, "M D"]:
    """Return maps read at pixels (image, row, column) by bilinear interpolation.

    The map's corners lie on the image's (`align_corners=True`), as the published codes enlarge
    their maps.
    """
    channels_last = maps.permute(0, 2, 3, 1)
    image = pixel_index[:, 0]
    row, column = (
        pixel_index[:, 1 + axis].to(maps.dtype)
        * ((maps.shape[2 + axis] - 1) / max(image_size_px[axis] - 1, 1))
        for axis in (0, 1)
    )
    top, left = row.floor().long(), column.floor().long()
    down, right = (row - top)[:, None], (column - left)[:, None]
    bottom = (top + 1).clamp(max=maps.shape[2] - 1)
    far = (left + 1).clamp(max=maps.shape[3] - 1)
    upper = channels_last[image, top, left] * (1 - right) + channels_last[image, top, far] * right
    lower = (
        channels_last[image, bottom, left] * (1 - right) + channels_last[image, bottom, far] * right
    )
    return upper * (1 - down) + lower * down


def _pixel_heads(objective: Objective) -> list[str]:
    """Heads whose pixel side some term looks at; the others would be parameters without use."""
    terms = objective.method.active().values()
    return sorted({term.head for term in terms if term.loss.uses_keys})
