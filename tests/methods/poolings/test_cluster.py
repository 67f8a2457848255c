"""Superpoints over time as queries and keys."""

import pytest
import torch
import torch.nn.functional as F

from olivine.core.errors import UserError
from olivine.data.batch import PairTable
from olivine.data.records import IGNORE
from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.info_nce.loss import info_nce
from olivine.methods.losses.regression import Regression
from olivine.methods.method import Method, Term
from olivine.methods.objective import Objective
from olivine.methods.poolings.cluster import Cluster
from olivine.methods.samplers.uniform import Uniform
from tests.support.feature_rows import FeatureRows

GENERATOR = torch.Generator().manual_seed(0)
NUM, NUM_LATER = 60, 45
HERE, THERE = (
    F.normalize(torch.randn(number, 8, generator=GENERATOR), dim=1) for number in (NUM, NUM_LATER)
)
FRAME = torch.arange(NUM) // 15  # four frames
IDS = 100 * FRAME + torch.randint(0, 3, (NUM,), generator=GENERATOR)
LATER_IDS = IDS[torch.randperm(NUM, generator=GENERATOR)[:NUM_LATER]]
PAIRS = PairTable(
    voxel_index=torch.arange(NUM),
    pixel_index=None,
    class_ids=torch.full((NUM,), IGNORE),
    range_m=torch.ones(NUM),
    frame_index=FRAME,
    cluster_ids=IDS,
)


class Rows(FeatureRows):
    def __init__(self) -> None:
        self.here, self.there = HERE.clone().requires_grad_(), THERE.clone().requires_grad_()

    def points(self, head: str, pairs: PairTable) -> torch.Tensor:
        return self.here[pairs.voxel_index]

    def later_points(self, head: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.there, LATER_IDS


def test_means_meet_the_means_of_the_later_scan() -> None:
    matched = Cluster().build()(Rows(), "pixel", PAIRS, FRAME // 2)

    for row, number in enumerate(IDS.unique()):
        torch.testing.assert_close(matched.queries[row], HERE[number == IDS].mean(0))
        torch.testing.assert_close(matched.keys[row], THERE[number == LATER_IDS].mean(0))
        assert matched.group_ids[row] == number // 200
    assert (matched.class_ids == IGNORE).all()
    assert matched.key_of is None


def test_points_share_the_key_of_their_superpoint() -> None:
    matched = Cluster(queries="points").build()(Rows(), "pixel", PAIRS, FRAME // 2)

    assert len(matched.queries) == NUM
    assert len(matched.keys) == len(IDS.unique())
    for row in range(NUM):
        mean = THERE[IDS[row] == LATER_IDS].mean(0)
        torch.testing.assert_close(matched.keys[matched.key_of[row]], mean)


def test_keys_that_nobody_asks_for_any_more_are_left_out() -> None:
    matched = Cluster(queries="points").build()(Rows(), "pixel", PAIRS, FRAME // 2)

    group = matched.take(matched.group_ids == 1)

    torch.testing.assert_close(
        group.keys[group.key_of], matched.keys[matched.key_of[matched.group_ids == 1]]
    )
    assert len(group.keys) == len(IDS[FRAME >= 2].unique())


@pytest.mark.parametrize("gather", [False, True])
def test_a_point_must_find_its_own_superpoint_among_all(gather: bool) -> None:
    """Of a contrast group, or of the whole batch where keys are gathered."""
    loss = InfoNCE(gather_keys=gather)
    term = Term(loss=loss, match="time", pool=Cluster(queries="points"))
    objective = Objective(Method(terms={"point": term}), 8, 1)
    rows = Rows()

    total, _ = objective(
        rows, {"time": PAIRS}, lambda frame: frame // 2, lambda *_: torch.Generator()
    )

    numbers = IDS.unique()
    keys = torch.stack([THERE[n == LATER_IDS].mean(0) for n in numbers])
    expected = []
    for group in (0, 1):
        mine, own = group == FRAME // 2, numbers // 200 == group
        some = torch.ones_like(own) if gather else own
        places = torch.searchsorted(numbers[some], IDS[mine])
        expected.append(info_nce(HERE[mine], keys[some], 0.07, places))
    torch.testing.assert_close(total, torch.stack(expected).mean())
    total.backward()
    assert rows.here.grad.abs().sum() > 0
    assert rows.there.grad.abs().sum() > 0


def test_points_can_be_moved_onto_the_mean_of_their_superpoint() -> None:
    matched = Cluster(queries="points").build()(Rows(), "pixel", PAIRS, FRAME)

    found = Regression().build(8, 1)(matched)

    distance = (HERE - matched.keys[matched.key_of]).norm(dim=1).mean()
    torch.testing.assert_close(found, distance)


def test_no_superpoint_gives_no_row_and_a_gradient() -> None:
    none = PAIRS.take(torch.zeros(NUM, dtype=torch.bool))
    rows = Rows()
    for queries in ("means", "points"):
        matched = Cluster(queries=queries).build()(rows, "pixel", none, none.frame_index)
        loss = InfoNCE().build(8, 1)(matched)
        assert len(matched.queries) == len(matched.keys) == 0
        assert loss == 0
        loss.backward()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"match": "time"}, "compares superpoints: set pool.kind=cluster"),
        ({"pool": {"kind": "cluster"}}, "pool.kind=cluster is for match='time', not 'pixel'"),
        ({"match": "time", "pool": {"kind": "segment"}}, "segment is for match='pixel'"),
        (
            {
                "match": "time",
                "pool": {"kind": "cluster", "queries": "points"},
                "loss": {"kind": "queue_nce"},
            },
            "loss.kind=queue_nce wants a key for every query",
        ),
    ],
)
def test_terms_over_time_that_make_no_sense_are_refused(settings, message) -> None:
    with pytest.raises(UserError, match=message):
        Term(loss=InfoNCE(), sample=Uniform()).override(settings)


def test_a_method_has_one_second_scan() -> None:
    over_time = Term(loss=InfoNCE(), match="time", pool=Cluster())
    with pytest.raises(UserError, match="one or the other"):
        Method(terms={"a": over_time, "b": Term(loss=InfoNCE(), match="view")})
    alone = Method(terms={"a": over_time})
    assert alone.uses_clusters
    assert alone.uses_view_points
    assert not any((alone.uses_second_view, alone.uses_images, alone.uses_momentum))
