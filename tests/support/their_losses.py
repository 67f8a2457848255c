"""Losses of a package of somebody else, and the sentence when one cannot be had."""

from typing import Any

import pytest

from olivine.core.errors import UserError
from olivine.experiments.recipes import demo
from olivine.methods.losses.base import Loss
from olivine.training.config import EvaluateConfig

PLACE = "pretrained.method.terms.pixel.loss"
BODY = """
from olivine.methods.losses.base import Loss
from olivine.methods.losses.info_nce import InfoNCE


class Named(InfoNCE):
    kind = "their_loss"


class Nameless(InfoNCE):
    pass


class Unlisted(InfoNCE):
    kind = "unlisted"


class Incomplete(Loss):
    pass
"""
OFFERED = {"olivine.losses": {"their_loss": "their.losses:Named", "alias": "their.losses:Nameless"}}


def with_loss(kind: Any) -> EvaluateConfig:
    return demo().override({f"{PLACE}.kind": kind})


def loss_of(config: EvaluateConfig) -> Loss:
    return config.pretrained.method.terms["pixel"].loss


def sentence_of(kind: Any) -> str:
    with pytest.raises(UserError) as caught:
        with_loss(kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)
