"""The model of rows and seeds against least squares on its written-out equations."""

import math

import numpy as np
import pytest

from olivine.results.block_model import equal_variances, fit_blocks


def least_squares(values):
    """Solve the model by one indicator per row and per seed."""
    rows, seeds = np.nonzero(~np.isnan(values))
    design = np.hstack([np.eye(values.shape[0])[rows], np.eye(values.shape[1])[seeds]])
    y = values[rows, seeds]
    effects, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    num_degrees = len(y) - rank
    variance = float(((y - design @ effects) ** 2).sum() / num_degrees)
    inverse = np.linalg.pinv(design.T @ design)
    contrasts = np.zeros((values.shape[0] - 1, design.shape[1]))
    contrasts[:, 0], contrasts[range(len(contrasts)), range(1, len(contrasts) + 1)] = -1, 1
    factors = np.einsum("ij,jk,ik->i", contrasts, inverse, contrasts)
    return contrasts @ effects, factors, variance, num_degrees


def with_gaps(shape, num_gaps, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 3, shape)
    values.flat[rng.choice(values.size, num_gaps, replace=False)] = math.nan
    return values


@pytest.mark.parametrize(
    ("shape", "num_gaps"), [((5, 3), 0), ((5, 4), 3), ((3, 6), 4), ((9, 2), 2)]
)
def test_the_fit_is_that_of_least_squares(shape, num_gaps):
    values = with_gaps(shape, num_gaps, 1)
    assert not np.isnan(values).all(axis=1).any()
    model = fit_blocks(values)
    differences, factors, variance, num_degrees = least_squares(values)
    np.testing.assert_allclose(model.differences, differences, atol=1e-9)
    np.testing.assert_allclose(model.variance_factors, factors, atol=1e-9)
    assert model.variance == pytest.approx(variance)
    assert (model.num_degrees, model.is_complete) == (num_degrees, not num_gaps)


def test_without_gaps_differences_are_those_of_the_means_and_shifts_of_seeds_change_nothing():
    values = with_gaps((4, 3), 0, 2)
    model = fit_blocks(values)
    np.testing.assert_allclose(model.differences, (values - values[0]).mean(axis=1)[1:])
    np.testing.assert_allclose(model.variance_factors, 2 / 3)
    moved = fit_blocks(values + np.array([100.0, -20.0, 0.0]))
    assert moved.variance == pytest.approx(model.variance)


def test_a_row_that_no_seed_connects_has_no_difference():
    values = np.full((3, 4), math.nan)
    values[0, :2], values[1, 1:3], values[2, 3] = [1, 2], [4, 4], 9
    model = fit_blocks(values)
    assert model.differences[0] == pytest.approx(2)
    assert math.isnan(model.differences[1])


def test_equal_values_have_no_spread():
    assert not fit_blocks(np.full((4, 3), 47.3)).has_spread
    assert not fit_blocks(np.add.outer([1.1, 2.7, 4.3], [0.1, 0.2, 0.7])).has_spread
    assert not fit_blocks(np.ones((4, 1))).has_spread
    assert fit_blocks(with_gaps((4, 3), 0, 3)).has_spread


@pytest.mark.parametrize("num_gaps", [0, 3])
def test_p_of_equal_variances_is_uniform_if_they_are_equal(num_gaps):
    gaps = np.isnan(with_gaps((5, 4), num_gaps, 4))
    rng = np.random.default_rng(5)
    checks = [
        equal_variances(fit_blocks(np.where(gaps, math.nan, rng.normal(50, 2, (5, 4)))))
        for _ in range(250)
    ]
    for p in ([one.p_largest for one in checks], [one.p_baseline for one in checks]):
        for level in (0.1, 0.25, 0.5):
            assert np.mean(np.array(p) < level) == pytest.approx(level, abs=0.09)


def test_a_larger_variance_is_seen():
    rng = np.random.default_rng(6)
    other = rng.normal(0, [[1]] * 4 + [[8]], (5, 5))
    assert equal_variances(fit_blocks(other)).p_largest < 0.05
    assert equal_variances(fit_blocks(other[::-1])).p_baseline < 0.05
