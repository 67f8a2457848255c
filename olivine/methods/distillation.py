"""The student, the teacher and the heads between them.

*Sample, then project* (method.md §10.2): the teacher's map is read at the pixels that are needed,
then goes through the linear head and is normalised. A 1x1 convolution commutes with
interpolation, so this equals projecting and enlarging the whole map first, at a thousandth of
the memory.
"""

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from olivine.data.batch import Batch, PairTable, Voxels
from olivine.data.records import IGNORE
from olivine.methods.features import mean_of_scans, read_map, segment_shares
from olivine.methods.matched import WHOLE, StepPart
from olivine.methods.objective import Objective
from olivine.models.teachers.map_cache import TeacherMaps


class Distillation(nn.Module):
    """Everything a pretraining step runs: batch in, loss out.

    It is one module so that data-parallel wrappers see every parameter used in one forward. With
    `kept_maps` the teacher is asked only for maps that were not kept before.
    """

    kept_maps: TeacherMaps | None = None

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
        hidden_channels: Sequence[int] = (),
    ):
        super().__init__()
        self.backbone = backbone
        self.teacher = Frozen(teacher) if teacher is not None else None
        self.objective = objective
        widths, frozen = (*hidden_channels, num_channels), objective.method.frozen_heads
        self.point_heads = nn.ModuleDict(
            {
                head: _head(
                    num_point_channels,
                    (*hidden_channels, num_pixel_channels) if head in frozen else widths,
                )
                for head in heads
            }
        )
        self.pixel_heads = nn.ModuleDict(
            {head: _head(num_pixel_channels, widths) for head in _pixel_heads(objective)}
        )
        student = nn.ModuleDict({"backbone": backbone, "heads": self.point_heads})
        momentum = objective.method.student_momentum
        self.slow = Slow(student, momentum) if objective.method.uses_momentum else None

    def forward(
        self,
        batch: Batch,
        group_of_frame: Callable[[Tensor], Tensor],
        generators: Callable[[int, int], torch.Generator],
        part: StepPart = WHOLE,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the total loss and the value of every term, of one part of a step."""
        if self.slow is not None and self.training and part.is_first:
            self.slow.follow(self.backbone, self.point_heads)
        voxel_rows = self.backbone(batch.voxels)
        maps = self._maps(batch)
        uses_points = self.objective.method.uses_view_points
        view_rows = self.backbone(batch.view) if batch.view and uses_points else None
        features = _Features(self, voxel_rows, view_rows, maps, batch)
        tables = {"pixel": batch.pairs}
        if batch.view_pairs is not None:
            tables["view"] = batch.view_pairs
            tables["scan"] = _one_row_per_frame(batch)
        if batch.clusters is not None:
            tables["time"] = batch.clusters
        return self.objective(features, tables, group_of_frame, generators, part)

    def _maps(self, batch: Batch) -> Tensor | None:
        if self.teacher is None or self.kept_maps is None:
            return self.teacher(batch.images) if self.teacher is not None else None
        return self.kept_maps.of_batch(self.teacher, batch)


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


class Slow(nn.Module):
    """A copy of the student that moves slowly after it and takes no gradient (He et al., MoCo).

    Its weights are part of the state, so a resumed run goes on with the same copy.
    """

    def __init__(self, student: nn.ModuleDict, momentum: float):
        super().__init__()
        self.student = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def follow(self, backbone: nn.Module, heads: nn.Module) -> None:
        """Take one step towards the student."""
        for own, module in zip(self.student.values(), (backbone, heads), strict=True):
            for slow, fast in zip(own.parameters(), module.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.momentum)

    @torch.no_grad()
    def scans(self, head: str, voxels: Voxels, num_frames: int) -> Tensor:
        """Return the unit-length feature of each scan."""
        rows = self.student["backbone"](voxels)
        pooled = mean_of_scans(rows, voxels, num_frames)
        return F.normalize(self.student["heads"].get_submodule(head)(pooled), dim=1)


def _one_row_per_frame(batch: Batch) -> PairTable:
    frames = torch.arange(len(batch.tokens), device=batch.voxels.coordinates.device)
    return PairTable(
        voxel_index=torch.zeros_like(frames),
        pixel_index=None,
        class_ids=torch.full_like(frames, IGNORE),
        range_m=torch.zeros(len(frames), device=frames.device),
        frame_index=frames,
    )


def _head(num_inputs: int, widths: Sequence[int]) -> nn.Module:
    """Return a linear head, or layers with ReLU between them."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(num_inputs, width), nn.ReLU()]
        num_inputs = width
    return layers[0] if len(widths) == 1 else nn.Sequential(*layers[:-1])


class _Features:
    """Features of one batch, projected when asked for."""

    def __init__(
        self,
        networks: Distillation,
        voxel_rows: Tensor,
        view_rows: Tensor | None,
        maps: Tensor | None,
        batch: Batch,
    ):
        self._networks, self._batch = networks, batch
        self._voxel_rows, self._view_rows, self._maps = voxel_rows, view_rows, maps

    def points(self, head: str, pairs: PairTable) -> Tensor:
        rows = self._voxel_rows[pairs.voxel_index]
        return F.normalize(self._networks.point_heads[head](rows), dim=1)

    def views(self, head: str, pairs: PairTable) -> Tensor:
        assert self._view_rows is not None, "a term of views needs a second view"
        rows = self._view_rows[pairs.view_index]
        return F.normalize(self._networks.point_heads[head](rows), dim=1)

    def pixels(self, head: str, pairs: PairTable) -> Tensor:
        return F.normalize(self._networks.pixel_heads[head](self.teacher_rows(pairs)), dim=1)

    def later_points(self, head: str) -> tuple[Tensor, Tensor]:
        table = self._batch.view_clusters
        assert table is not None, "a term over time needs superpoints"
        assert table.cluster_ids is not None
        assert self._view_rows is not None, "a term over time needs a later scan"
        rows = self._networks.point_heads[head](self._view_rows[table.voxel_index])
        return F.normalize(rows, dim=1), table.cluster_ids

    def scans(self, head: str) -> Tensor:
        pooled = mean_of_scans(self._voxel_rows, self._batch.voxels, len(self._batch.tokens))
        return F.normalize(self._networks.point_heads[head](pooled), dim=1)

    def scan_keys(self, head: str) -> Tensor:
        assert self._networks.slow is not None, "a term of scans needs the slow copy"
        assert self._batch.view is not None, "a term of scans needs a second view"
        return self._networks.slow.scans(head, self._batch.view, len(self._batch.tokens))

    def teacher_rows(self, pairs: PairTable) -> Tensor:
        assert self._maps is not None, "a term with pixels needs a teacher"
        assert pairs.pixel_index is not None
        return read_map(self._maps, pairs.pixel_index, self._batch.images.shape[-2:])

    def segments(self, pairs: PairTable) -> Tensor:
        assert self._batch.segments is not None, "a term of segments needs segments"
        assert pairs.pixel_index is not None
        image, row, column = pairs.pixel_index.T
        ids = self._batch.segments[image, row, column].long()
        return torch.where(ids == IGNORE, -1, image * IGNORE + ids)

    def segment_pixels(
        self, head: str, segments: Tensor, teacher_rows: bool
    ) -> tuple[Tensor, Tensor | None]:
        assert self._maps is not None, "a term with pixels needs a teacher"
        assert self._batch.segments is not None
        project = self._networks.pixel_heads[head]
        # Empty first parts, so that a batch without a segment gives no rows, and a head a gradient.
        none = self._maps[:0, :, 0, 0].float()
        unit, own = [project(none)], [none]
        for image in torch.unique(torch.div(segments, IGNORE, rounding_mode="floor")).tolist():
            mine = segments[segments // IGNORE == image] - image * IGNORE
            shares = segment_shares(self._batch.segments[image], mine, self._maps.shape[2:])
            cells = self._maps[image].flatten(1).T.float()
            unit.append(shares @ F.normalize(project(cells), dim=1))
            if teacher_rows:
                own.append(shares @ cells)
        return torch.cat(unit), torch.cat(own) if teacher_rows else None


def _pixel_heads(objective: Objective) -> list[str]:
    """Heads whose pixel side some term looks at; the others would be parameters without use."""
    terms = objective.method.active().values()
    asked = {term.head for term in terms if term.uses_pixels and term.loss.uses_keys}
    return sorted(asked - objective.method.frozen_heads)
