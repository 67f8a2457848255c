"""Matched rows, tables of pairs and features for the checks of a method's parts."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.losses.base import Loss
from olivine.methods.matched import Matched

NUM_FRAMES = 4
NUM_SEGMENTS = 7  # of each frame; segment -1 is none


def cpu_generator(seed: int) -> torch.Generator:
    """Return a generator on the CPU, so that its numbers do not depend on the device."""
    return torch.Generator().manual_seed(seed)


def unit_rows(num: int, num_channels: int, seed: int) -> Float[Tensor, "num channels"]:
    """Return rows of unit length."""
    return F.normalize(torch.randn(num, num_channels, generator=cpu_generator(seed)), dim=1)


def matched_rows(
    loss: Loss,
    *,
    num: int = 24,
    num_channels: int = 16,
    num_classes: int = 5,
    seed: int = 0,
    shared: bool = False,
) -> Matched:
    """Return one contrast group for a loss: keys similar to their queries, some without a label.

    `shared` gives every two queries one key, as some poolings do.
    """
    queries = unit_rows(num, num_channels, seed)
    noise = unit_rows(num, num_channels, seed + 1000)
    keys = F.normalize(queries + 0.7 * noise, dim=1) if loss.uses_keys else None
    key_of = None
    if shared and keys is not None:
        keys, key_of = keys[: (num + 1) // 2], torch.arange(num) // 2
    class_ids = torch.randint(0, num_classes, (num,), generator=cpu_generator(seed + 2000))
    class_ids[::5] = IGNORE
    return Matched(
        queries=queries,
        keys=keys,
        class_ids=class_ids,
        group_ids=torch.zeros(num, dtype=torch.long),
        teacher_rows=unit_rows(num, 12, seed + 3000) if loss.uses_teacher_rows else None,
        key_of=key_of,
    )


def pair_table(
    num: int = 600, seed: int = 0, *, num_classes: int = 5, over_time: bool = False
) -> PairTable:
    """Return pairs of four frames at ranges up to 60 m; every pair has a class.

    With `over_time` a point's partner is its superpoint, otherwise a pixel.
    """
    frame = torch.arange(num) * NUM_FRAMES // max(num, 1)
    segment = torch.randint(0, NUM_SEGMENTS, (num,), generator=cpu_generator(seed))
    pixel = torch.stack([frame, segment, torch.arange(num)], dim=1)
    return PairTable(
        voxel_index=torch.arange(num),
        pixel_index=None if over_time else pixel,
        class_ids=torch.randint(0, num_classes, (num,), generator=cpu_generator(seed + 1)),
        range_m=60 * torch.rand(num, generator=cpu_generator(seed + 2)).square(),
        frame_index=frame,
        cluster_ids=frame * NUM_SEGMENTS + segment if over_time else None,
    )


class Features:
    """Unit-length features of the pairs of `pair_table`, which take gradients.

    It provides the features that a pooling needs: of points, of segments of pixels, of voxels of
    later scans.
    """

    def __init__(self, num: int, num_channels: int = 8, seed: int = 0):
        self.rows = unit_rows(num, num_channels, seed).requires_grad_()
        self.later_rows = unit_rows(num, num_channels, seed + 1).requires_grad_()
        self._num_channels, self._seed = num_channels, seed

    def points(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the feature of each pair's point."""
        return self.rows[pairs.voxel_index]

    def pixels(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the feature of each pair's pixel."""
        return unit_rows(len(self.rows), self._num_channels, self._seed + 2)[pairs.voxel_index]

    def views(self, head: str, pairs: PairTable) -> Float[Tensor, "M D"]:
        """Return the feature of each pair's point in the second view."""
        return self.pixels(head, pairs)

    def later_points(self, head: str) -> tuple[Float[Tensor, "L D"], Int[Tensor, " L"]]:
        """Return the features of the later scans' voxels, and their superpoints."""
        table = pair_table(len(self.rows), self._seed, over_time=True)
        assert table.cluster_ids is not None
        return self.later_rows, table.cluster_ids

    def scans(self, head: str) -> Float[Tensor, "frames D"]:
        """Return the feature of each scan."""
        return unit_rows(NUM_FRAMES, self._num_channels, self._seed + 3)

    def scan_keys(self, head: str) -> Float[Tensor, "frames D"]:
        """Return the feature of each scan's second view."""
        return unit_rows(NUM_FRAMES, self._num_channels, self._seed + 4)

    def teacher_rows(self, pairs: PairTable) -> Float[Tensor, "M T"]:
        """Return the teacher's feature at each pair's pixel."""
        return unit_rows(len(self.rows), 12, self._seed + 5)[pairs.voxel_index]

    def segments(self, pairs: PairTable) -> Int[Tensor, " M"]:
        """Return the segment of each pair's pixel; some pixels have none."""
        assert pairs.pixel_index is not None
        frame, segment = pairs.pixel_index[:, 0], pairs.pixel_index[:, 1]
        return torch.where(segment == 0, -1, frame * NUM_SEGMENTS + segment)

    def segment_pixels(
        self, head: str, segments: Int[Tensor, " S"], teacher_rows: bool
    ) -> tuple[Float[Tensor, "S D"], Float[Tensor, "S T"] | None]:
        """Return the mean feature of each segment's pixels, and the teacher's on request."""
        num = NUM_FRAMES * NUM_SEGMENTS
        of_teacher = unit_rows(num, 12, self._seed + 6)[segments] if teacher_rows else None
        return unit_rows(num, self._num_channels, self._seed + 7)[segments], of_teacher
