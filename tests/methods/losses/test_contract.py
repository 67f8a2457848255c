"""Every loss keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.losses.regression import Regression
from olivine.methods.losses.semantic_tolerant import SemanticTolerant
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.losses.vmf import VMF
from olivine.testing import check_loss

# A warm-up and a memory short enough for a few steps.
QUICK_VMF = VMF(warmup_steps=2, momentum=0.5, max_concentration=50.0)
LOSSES = (
    InfoNCE(),
    InfoNCE(gather_keys=True),
    QueueNCE(size=64),
    Regression(),
    SemanticTolerant(),
    SemanticTolerant(min_quantile=0.0, balanced=False),
    SupCon(),
    SupCon(gather_keys=True, mean_over_positives=True),
    QUICK_VMF,
    QUICK_VMF.override({"form": "posterior", "average": "point"}),
    QUICK_VMF.override({"bank": "per_group"}),
)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_loss_keeps_its_promises(loss: Loss) -> None:
    check_loss(loss)


def test_every_kind_is_among_them() -> None:
    assert {loss.kind for loss in LOSSES} == set(Loss.built_in)
    check_loss(VMF(), falls=False)  # in its warm-up
