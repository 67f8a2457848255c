"""Every sampler keeps the promises that `olivine.testing` asks of anybody's."""

import pytest

from olivine.methods.samplers.base import Sampler
from olivine.methods.samplers.density_category import DensityCategory
from olivine.methods.samplers.uniform import Uniform
from olivine.testing import check_sampler

SAMPLERS = (
    Uniform(),
    Uniform(scope="scan"),
    DensityCategory(),
    DensityCategory(scope="scan", density_temperature=0.5),
    DensityCategory(category_temperature=0.0),
)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_sampler_keeps_its_promises(sampler: Sampler) -> None:
    check_sampler(sampler)


def test_every_kind_is_among_them() -> None:
    assert {sampler.kind for sampler in SAMPLERS} == set(Sampler.built_in)
