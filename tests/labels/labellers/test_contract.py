"""Every labeller that needs no weights keeps the promises asked of anybody's."""

import pytest

from olivine.labels.labeller import Labeller
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.regions import Regions
from olivine.labels.labellers.slic import Slic
from olivine.testing import check_labeller

LABELLERS = (Embedded(), Slic(num_segments=20), Regions(of=Embedded(), min_px=4))
NEED_WEIGHTS_OR_FILES = {
    "grounded_sam", "sam_segments", "imported", "imported_segments", "lidarseg_truth",
}  # fmt: skip


@pytest.mark.parametrize("labeller", LABELLERS, ids=lambda labeller: labeller.kind)
def test_a_labeller_keeps_its_promises(labeller: Labeller) -> None:
    check_labeller(labeller)


def test_every_kind_is_here_or_needs_weights_or_files() -> None:
    here = {labeller.kind for labeller in LABELLERS}
    assert here | NEED_WEIGHTS_OR_FILES == set(Labeller.built_in)
