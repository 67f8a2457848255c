import torch
import torch.nn.functional as F

from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.poolings.segment import Segment
from tests.support.feature_rows import FeatureRows

GENERATOR = torch.Generator().manual_seed(0)
NUM_PAIRS = 60
SEGMENT = torch.randint(-1, 6, (NUM_PAIRS,), generator=GENERATOR) * 10  # -10 and below: none
POINTS = F.normalize(torch.randn(NUM_PAIRS, 8, generator=GENERATOR), dim=1)
PAIRS = PairTable(
    voxel_index=torch.arange(NUM_PAIRS),
    pixel_index=torch.zeros(NUM_PAIRS, 3, dtype=torch.long),
    class_ids=torch.full((NUM_PAIRS,), IGNORE),
    range_m=torch.ones(NUM_PAIRS),
    frame_index=torch.zeros(NUM_PAIRS, dtype=torch.long),
)


class Rows(FeatureRows):
    """A segment's pixels have its own number as feature."""

    def points(self, head: str, pairs: PairTable) -> torch.Tensor:
        return POINTS[pairs.voxel_index]

    def segments(self, pairs: PairTable) -> torch.Tensor:
        return SEGMENT[pairs.voxel_index]

    def segment_pixels(
        self, head: str, segments: torch.Tensor, teacher_rows: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        own = segments.float()[:, None].expand(-1, 8)
        return own, own[:, :3] if teacher_rows else None


def test_a_query_is_the_mean_of_its_segments_points() -> None:
    matched = Segment().build()(Rows(), "pixel", PAIRS, torch.zeros(NUM_PAIRS, dtype=torch.long))

    numbers = matched.keys[:, 0].long()
    assert numbers.tolist() == sorted(set(SEGMENT[SEGMENT >= 0].tolist()))
    for number, query in zip(numbers, matched.queries, strict=True):
        torch.testing.assert_close(query, POINTS[number == SEGMENT].mean(dim=0))
    assert matched.teacher_rows is None


def test_the_teachers_own_features_come_when_asked_for() -> None:
    groups = torch.zeros(NUM_PAIRS, dtype=torch.long)

    matched = Segment().build()(Rows(), "pixel", PAIRS, groups, teacher_rows=True)

    assert matched.teacher_rows.shape == (len(matched.queries), 3)


def test_a_segment_competes_where_its_points_do() -> None:
    matched = Segment().build()(Rows(), "pixel", PAIRS, SEGMENT // 20)

    torch.testing.assert_close(matched.group_ids, matched.keys[:, 0].long() // 20)


def test_without_a_segment_nothing_is_compared() -> None:
    none = PAIRS.take(SEGMENT < 0)

    matched = Segment().build()(Rows(), "pixel", none, none.frame_index)

    assert matched.queries.shape == (0, 8)
