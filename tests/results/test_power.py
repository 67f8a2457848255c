"""Dunnett's test and the power of tests against a library and known tables."""

import math

import numpy as np
import pytest
import scipy.stats

from olivine.results.power import (
    dunnett_critical,
    dunnett_p,
    findable,
    findable_by_ranks,
    student_critical,
)


@pytest.mark.parametrize(("num_groups", "num_values", "shift"), [(4, 5, 0.8), (2, 3, 2), (8, 4, 1)])
def test_p_is_the_librarys_without_blocks(num_groups, num_values, shift):
    rng = np.random.default_rng(num_groups)
    groups = (
        rng.normal(0, 1, (num_groups + 1, num_values))
        + shift * np.arange(num_groups + 1)[:, None] / 4
    )
    known = scipy.stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0))
    num_degrees = (num_groups + 1) * (num_values - 1)
    error = math.sqrt(2 * groups.var(axis=1, ddof=1).mean() / num_values)
    statistics = (groups.mean(axis=1)[1:] - groups[0].mean()) / error
    np.testing.assert_allclose(statistics, known.statistic)
    found = dunnett_p(statistics.tolist(), num_groups, num_degrees)
    np.testing.assert_allclose(found, known.pvalue, atol=2e-3)  # the library draws numbers


@pytest.mark.parametrize(
    # Dunnett (1964), two-sided, joint confidence 95 %, by numbers of treatments and of degrees.
    ("num_rows", "num_degrees", "critical"),
    [(1, 5, 2.57), (2, 5, 3.03), (4, 10, 2.89), (9, 20, 2.95)],
)
def test_critical_values_are_those_of_the_printed_table(num_rows, num_degrees, critical):
    assert dunnett_critical(num_rows, num_degrees) == pytest.approx(critical, abs=0.006)


def test_one_comparison_is_students():
    for num_degrees in (2, 7, 40, 4000):
        t = [0.3, 1.7, -2.5, math.nan]
        known = 2 * scipy.stats.t.sf(np.abs(t), num_degrees)
        np.testing.assert_allclose(dunnett_p(t, 1, num_degrees), known, atol=1e-7)
        critical = dunnett_critical(1, num_degrees)
        assert critical == pytest.approx(student_critical(1, num_degrees))


def test_dunnetts_correction_lies_between_none_and_bonferronis():
    (alone,), (among,) = dunnett_p([2.5], 1, 8), dunnett_p([2.5], 6, 8)
    assert alone < among < 6 * alone


@pytest.mark.parametrize(("num_degrees", "num_rows"), [(2, 1), (8, 4), (30, 10)])
def test_the_smallest_difference_is_found_as_often_as_it_says(num_degrees, num_rows):
    critical = dunnett_critical(num_rows, num_degrees)
    shift = findable(critical, num_degrees)
    known = scipy.stats.nct(num_degrees, shift)
    assert known.sf(critical) + known.cdf(-critical) == pytest.approx(0.8, abs=1e-6)


def test_what_ranks_can_find():
    shift = findable_by_ranks(6, 1)
    drawn = np.random.default_rng(1).normal(shift, 1, (3000, 6))
    found = (scipy.stats.wilcoxon(drawn, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.03)
    assert findable_by_ranks(6, 2) == math.inf  # the least p of six pairs is 0.031
