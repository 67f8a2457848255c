"""The choice of the test over seeds, its errors by simulation, and inputs that allow no test."""

import math

import numpy as np
import pytest

from olivine.results.power import dunnett_p
from olivine.results.seed_tests import compare_rows, smallest_differences
from olivine.results.statistics import holm, paired_test

EQUAL = np.random.default_rng(9).normal(50, 1, (5, 4))  # of its rows none stands out


def shifted(by):
    return EQUAL + np.array([0, 0, 0, 0, by])[:, None]


def test_the_pooled_test_is_dunnetts_on_the_residual_variance():
    values = shifted(4.0)
    found = compare_rows(values[0], values[1:], "pooled")
    centred = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    error = math.sqrt((centred**2).sum() / 12 * 2 / 4)
    statistics = (values.mean(axis=1)[1:] - values[0].mean()) / error
    np.testing.assert_allclose(found.corrected, dunnett_p(statistics.tolist(), 4, 12))
    assert (found.used, found.correction, found.num_tests) == ("pooled", "dunnett", 4)
    assert found.rows[3].low < values[4].mean() - values[0].mean() < found.rows[3].high


def test_missing_cells_are_corrected_by_holm():
    values = shifted(4.0)
    values[2, 0] = math.nan
    found = compare_rows(values[0], values[1:], "pooled")
    assert found.correction == "holm"
    np.testing.assert_allclose(found.corrected, holm([row.p for row in found.rows]))
    assert [row.num_seeds for row in found.rows] == [4, 3, 4, 4]
    assert found.findable[1] > found.findable[0]  # fewer seeds find less


def test_auto_is_pooled_until_a_variance_stands_out():
    assert compare_rows(EQUAL[0], EQUAL[1:]).used == "pooled"
    for row, why in ((4, "one row's"), (0, "one row's")):
        values = EQUAL.copy()
        values[row] += [9, -9, 9, -9]
        found = compare_rows(values[0], values[1:])
        assert (found.used, found.correction) == ("t", "holm")
        assert why in found.why_paired
        assert found.rows[0] == paired_test(values[1], values[0])


def test_one_row_is_tested_alike_by_pairs_and_by_the_model():
    auto, pooled = (compare_rows(EQUAL[0], EQUAL[1:2], test) for test in ("auto", "pooled"))
    assert auto.corrected == pytest.approx(pooled.corrected)
    assert auto.findable == pytest.approx(pooled.findable)
    assert (auto.rows[0].low, auto.rows[0].high) == pytest.approx(
        (pooled.rows[0].low, pooled.rows[0].high)
    )


@pytest.mark.parametrize("test", ["auto", "pooled", "t", "wilcoxon"])
def test_what_cannot_be_tested_is_unknown(test):
    gone = np.full(4, math.nan)
    single = np.array([50.0, math.nan, math.nan, math.nan])
    for baseline in (gone, single):
        found = compare_rows(baseline, EQUAL[1:], test)
        assert np.isnan(found.corrected).all()
        assert np.isnan(found.findable).all()
        assert found.num_tests == 0
    same = np.full((4, 6), 12.5)
    found = compare_rows(same[0], same[1:], test)
    assert found.corrected == (1.0, 1.0, 1.0)
    assert np.isnan(found.findable).all()
    found = compare_rows(EQUAL[0], np.zeros((0, 4)), test)
    assert found.rows == ()


def test_what_a_table_without_a_baseline_could_find():
    low, high = smallest_differences(EQUAL)
    assert low == high == pytest.approx(compare_rows(EQUAL[0], EQUAL[1:], "pooled").findable[0])
    assert np.isnan(smallest_differences(EQUAL[:1])).all()
    assert np.isnan(smallest_differences(EQUAL[:, :2])).all()


@pytest.mark.parametrize("test", ["auto", "pooled"])
def test_false_positives_stay_rare_and_power_is_gained(test):
    rng = np.random.default_rng(2)
    num_false, num_found, num_paired, num = 0, 0, 0, 80
    for _ in range(num):
        values = rng.normal(50, 1, (5, 3)) + rng.normal(0, 2, 3)
        num_false += min(compare_rows(values[0], values[1:], test).corrected) < 0.05
        values[4] += 3
        num_found += compare_rows(values[0], values[1:], test).corrected[3] < 0.05
        num_paired += compare_rows(values[0], values[1:], "t").corrected[3] < 0.05
    assert num_false / num < 0.12  # 0.05, and three deviations of so many draws
    assert num_found > 1.5 * num_paired


def test_the_smallest_difference_is_found_in_four_of_five_cases():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (80, 4, 4))
    # The true deviation is one; the estimate from the values varies around it.
    size = np.sqrt(np.mean([np.square(smallest_differences(one)[0]) for one in values]))
    values[:, 3] += size
    found = [compare_rows(one[0], one[1:], "pooled").corrected[2] < 0.05 for one in values]
    assert np.mean(found) == pytest.approx(0.8, abs=0.12)
