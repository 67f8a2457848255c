"""A setting that acts on nothing is refused where a person names it."""

import pytest

from olivine.core.errors import UserError
from olivine.experiments.requests import ExperimentRequest

BANK = "pretrained.method.terms.compact.loss.bank=pooled"
WEIGHT = "pretrained.method.terms.compact.weight"


@pytest.mark.parametrize(
    ("recipe", "settings", "wanted"),
    [
        ("ppkt", (BANK,), "'compact' is not one of pixel"),
        (
            "ppkt",
            ("pretrained.method.terms.pixel.loss.bank=pooled",),
            "'bank' is not one of gather_keys, kind, temperature",
        ),
        ("demo", (f"{WEIGHT}=0", BANK), r"'compact' has weight 0 \(active terms: pixel, class\)"),
        ("demo", (BANK.replace("pooled", "each"),), "'per_group' or 'pooled'; it was given 'each'"),
    ],
)
def test_a_bank_of_a_method_without_one_is_one_sentence(
    recipe: str, settings: tuple[str, ...], wanted: str
) -> None:
    with pytest.raises(UserError, match=wanted):
        ExperimentRequest(recipe, settings=settings).resolve()


@pytest.mark.parametrize("settings", [(f"{WEIGHT}=0",), (f"{WEIGHT}=0.5", BANK)])
def test_what_acts_on_something_is_taken(settings: tuple[str, ...]) -> None:
    config, _ = ExperimentRequest("demo", settings=settings).resolve()
    assert config.fingerprint() != ExperimentRequest("demo").resolve()[0].fingerprint()
