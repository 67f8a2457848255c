"""Every pooling keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.methods.poolings.base import Pooling
from olivine.methods.poolings.cluster import Cluster
from olivine.methods.poolings.segment import Segment
from olivine.testing import check_pooling

POOLINGS = (Segment(), Cluster(), Cluster(queries="points"))


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_a_pooling_keeps_its_promises(pooling: Pooling) -> None:
    check_pooling(pooling)


def test_every_kind_is_among_them() -> None:
    assert {pooling.kind for pooling in POOLINGS} == set(Pooling.built_in)
