"""Every optimiser keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.testing import check_optimiser
from olivine.training.optimisers.adamw import AdamW
from olivine.training.optimisers.base import Optimiser
from olivine.training.optimisers.sgd import Sgd

OPTIMISERS = (Sgd(), AdamW())


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda optimiser: optimiser.kind)
def test_an_optimiser_keeps_its_promises(optimiser: Optimiser) -> None:
    check_optimiser(optimiser)


def test_every_kind_is_among_them() -> None:
    assert {optimiser.kind for optimiser in OPTIMISERS} == set(Optimiser.built_in)
