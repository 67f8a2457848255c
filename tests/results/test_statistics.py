"""Tests and intervals against known data, libraries and simulations."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.results.statistics import (
    MIN_SCENES,
    MIN_SEEDS,
    bootstrap_interval,
    holm,
    paired_test,
    resampled,
)

# Student (1908): hours of extra sleep of ten patients under two drugs.
SLEEP = (
    np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]),
    np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]),
)
# Hollander and Wolfe (1973), p. 29: depression scales of nine patients before and after.
DEPRESSION = (
    np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]),
    np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]),
)


def test_the_t_test_of_students_own_data():
    found = paired_test(*SLEEP)
    assert found.difference == pytest.approx(-1.58)
    assert found.p == pytest.approx(0.002833, abs=5e-7)  # what R's t.test prints
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142))
    assert found.num_seeds == 10


def test_the_signed_rank_test_of_known_data():
    found = paired_test(*DEPRESSION, "wilcoxon")
    assert found.p == pytest.approx(0.03906, abs=5e-6)  # R's wilcox.test, exact
    assert found.p == pytest.approx(scipy.stats.wilcoxon(*DEPRESSION, method="exact").pvalue)


@pytest.mark.parametrize("test", ["t", "wilcoxon"])
def test_too_few_seeds_have_no_p(test):
    for n in range(9):
        values = np.linspace(1, 2, n) ** 2
        found = paired_test(values, np.zeros(n), test)
        assert math.isnan(found.p) == (n < MIN_SEEDS[test])
        assert math.isnan(found.low) == (n < MIN_SEEDS["t"])
        assert math.isnan(found.difference) == (n == 0)


def test_six_pairs_are_the_fewest_that_the_signed_rank_test_can_tell_apart():
    least = [scipy.stats.wilcoxon(np.arange(1.0, n + 1)).pvalue for n in (5, 6)]
    assert least[0] > 0.05 > least[1]
    assert MIN_SEEDS["wilcoxon"] == 6


def test_equal_rows_are_equal_and_equal_differences_no_evidence():
    rows = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 8.0])
    same = paired_test(rows, rows)
    assert (same.difference, same.p) == (0.0, 1.0)
    assert paired_test(rows, rows, "wilcoxon").p == 1.0
    shifted = paired_test(rows + 1, rows)
    assert shifted.difference == 1.0
    assert math.isnan(shifted.p)


def test_seeds_are_paired():
    seeds = np.array([10.0, 20.0, 30.0, 40.0])
    better = seeds + np.array([1.0, 1.1, 0.9, 1.0])
    assert paired_test(better, seeds).p < 0.001
    assert scipy.stats.ttest_ind(better, seeds).pvalue > 0.9


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2, math.nan, 0.01]) == pytest.approx([0.2, math.nan, 0.02], nan_ok=True)
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_the_p_and_bonferronis_and_keeps_the_order(p):
    corrected = holm(p)
    for given_p, one in zip(p, corrected, strict=True):
        assert given_p <= one <= min(1.0, len(p) * given_p) + 1e-12
    assert [corrected[i] for i in np.argsort(p, kind="stable")] == sorted(corrected)


def test_the_bootstrap_draws_scenes_with_replacement():
    draws = resampled(12, 4000)
    assert (draws.sum(axis=1) == 12).all()
    assert draws.mean() == pytest.approx(1)
    assert draws.var(axis=0) == pytest.approx(np.full(12, 11 / 12), rel=0.15)  # the multinomial's
    np.testing.assert_array_equal(draws, resampled(12, 4000))


def test_the_interval_is_the_librarys_at_its_wider_level():
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 3, 40)
    draws = resampled(40, 20000)
    low, high = bootstrap_interval(draws @ values / 40, 40)
    student = scipy.stats.t.ppf(0.975, 39)
    level = 1 - 2 * scipy.stats.norm.sf(np.sqrt(40 / 39) * student)
    known = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", confidence_level=level, rng=rng
    ).confidence_interval
    assert (low, high) == pytest.approx((known.low, known.high), abs=0.05)


@pytest.mark.parametrize("num_scenes", [MIN_SCENES, 40])
def test_the_interval_holds_the_truth_as_often_as_it_says(num_scenes):
    rng = np.random.default_rng(1)
    draws, num_held, num_tried = resampled(num_scenes, 1000), 0, 400
    for _ in range(num_tried):
        points = rng.gamma(2, 100, num_scenes)  # a ratio of sums, as a score of a split is
        right = points * np.clip(0.6 + rng.normal(0, 0.15, num_scenes), 0, 1)
        low, high = bootstrap_interval(draws @ right / (draws @ points), num_scenes)
        num_held += low <= 0.6 <= high
    assert 0.91 <= num_held / num_tried <= 0.98


def test_few_scenes_or_a_draw_without_a_value_have_no_interval():
    values = np.linspace(0, 1, 1000)
    assert bootstrap_interval(values, MIN_SCENES) is not None
    assert bootstrap_interval(values, MIN_SCENES - 1) is None
    assert bootstrap_interval(np.append(values, math.nan), MIN_SCENES) is None
