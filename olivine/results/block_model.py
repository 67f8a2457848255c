"""One additive model of rows and seeds, with one variance: y = row + seed + error.

The seed is a block, since runs of one seed share their batches and initial weights. One variance
over all rows has more degrees of freedom than the differences of two rows alone, so it finds
smaller differences; it is right only if the rows have equal variances.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

NUM_DRAWS = 1999  # of the null distribution of `equal_variances`
MAX_DRAWN = 2_000_000  # numbers drawn for it; a table of thousands of rows has fewer draws
MIN_DRAWS = 199
_SMALL = 1e-10  # of an eigenvalue of the information matrix that is zero but for rounding


@dataclass(frozen=True)
class BlockModel:
    """The least-squares fit; row 0 is the baseline."""

    differences: Float[np.ndarray, " m"]  # of the other rows to it; NaN: no path of shared seeds
    variance_factors: Float[np.ndarray, " m"]  # variance of a difference / error variance
    variance: float  # of the errors: residual mean square; NaN: no degrees of freedom
    num_degrees: int  # of freedom, of the residuals
    residuals: Float[np.ndarray, "k b"]  # zero where there is no value
    has_value: Bool[np.ndarray, "k b"]
    rounding: float  # a difference that is zero but for rounding

    @property
    def has_spread(self) -> bool:
        """Return whether there are errors to judge a difference by."""
        return self.num_degrees > 0 and self.variance > self.rounding**2

    @property
    def is_complete(self) -> bool:
        """Return whether every row has every seed, so that all differences are alike."""
        return bool(self.has_value.all())


@dataclass(frozen=True)
class VarianceCheck:
    """p-values of equal variances against two ways in which they are not."""

    p_largest: float  # one row has a larger variance (Cochran 1941)
    p_baseline: float  # the baseline, which is in every difference, has; NaN: it has one value


def fit_blocks(values: Float[np.ndarray, "k b"]) -> BlockModel:
    """Fit the model to the rows' values by seed; NaN is a missing cell, each row has a value."""
    has_value = ~np.isnan(values)
    # Without its mean a column of near-equal large numbers loses no digits.
    filled = np.where(has_value, values - np.nanmean(values), 0.0)
    seeds, rows = _effects(filled, has_value)
    residuals = has_value * (filled - seeds - rows[:, None])
    shares, information = _information(has_value)
    rank = int(np.linalg.matrix_rank(information, tol=_SMALL * len(values), hermitian=True))
    num_degrees = int(has_value.sum()) - len(values) - rank
    squares = float((residuals**2).sum())
    apart = shares[1:] - shares[0]
    inverse = np.linalg.pinv(information, rcond=_SMALL, hermitian=True)
    counts = has_value.sum(axis=1)
    factors = 1 / counts[1:] + 1 / counts[0] + ((apart @ inverse) * apart).sum(axis=1)
    # A difference can be estimated if its seeds' part lies in the range of the information matrix.
    can_tell = np.abs(apart @ inverse @ information - apart).max(axis=1, initial=0.0) < 1e-6
    return BlockModel(
        np.where(can_tell, rows[1:] - rows[0], math.nan),
        np.where(can_tell, factors, math.nan),
        squares / num_degrees if num_degrees else math.nan,
        num_degrees,
        residuals,
        has_value,
        1e-12 * max(1.0, float(np.nanmax(np.abs(values)))),
    )


def equal_variances(model: BlockModel) -> VarianceCheck:
    """Test whether the rows of a model of three or more rows have one variance.

    The statistics are the largest share that a row has of the sum of squared residuals (Cochran
    1941), and the baseline's share, each row's squares divided by their expectation. Their null
    distribution is drawn, with normal errors and the same missing cells, because the residuals of
    few seeds are not independent. With three seeds it has more power than Brown and Forsythe's test
    on the residuals (`benchmarks/results/power.py`).
    """
    null = _null_squares(model.has_value.tobytes(), model.has_value.shape)
    expected = null.mean(axis=0)
    has_spread = expected > 1e-9
    found = (model.residuals**2).sum(axis=1)
    null_share, share = (
        ratio / ratio.sum(axis=-1, keepdims=True)
        for ratio in (s[..., has_spread] / expected[has_spread] for s in (null, found))
    )
    p_baseline = _p(null_share[:, 0], share[0]) if has_spread[0] else math.nan
    return VarianceCheck(_p(null_share.max(axis=1), share.max()), p_baseline)


def _p(null: Float[np.ndarray, " B"], found: float) -> float:
    return (1 + int((null >= found).sum())) / (1 + len(null))


@functools.lru_cache(maxsize=64)
def _null_squares(cells: bytes, shape: tuple[int, int]) -> Float[np.ndarray, "B k"]:
    """Return each row's sum of squared residuals in draws of equal variances."""
    has_value = np.frombuffer(cells, dtype=bool).reshape(shape)
    num_draws = min(NUM_DRAWS, max(MIN_DRAWS, MAX_DRAWN // has_value.size))
    drawn = np.random.default_rng(0).standard_normal((num_draws, *shape)) * has_value
    seeds, rows = _effects(drawn, has_value)
    return ((has_value * (drawn - seeds[:, None, :] - rows[:, :, None])) ** 2).sum(axis=2)


def _information(
    has_value: Bool[np.ndarray, "k b"],
) -> tuple[Float[np.ndarray, "k b"], Float[np.ndarray, "b b"]]:
    """Return the seeds' shares of each row, and the information on seeds with the rows swept out.

    There are few seeds and many rows, so this is much smaller than the normal equations.
    """
    cells = has_value.astype(float)
    shares = cells / cells.sum(axis=1, keepdims=True)
    return shares, np.diag(cells.sum(axis=0)) - cells.T @ shares


def _effects(
    filled: Float[np.ndarray, "*B k b"], has_value: Bool[np.ndarray, "k b"]
) -> tuple[Float[np.ndarray, "*B b"], Float[np.ndarray, "*B k"]]:
    """Return the effects of seeds and of rows; `filled` is zero where there is no value."""
    counts = has_value.sum(axis=1)
    means = filled.sum(axis=-1) / counts
    left = (filled - has_value * means[..., None]).sum(axis=-2)
    inverse = np.linalg.pinv(_information(has_value)[1], rcond=_SMALL, hermitian=True)
    seeds = left @ inverse
    rows = (filled - has_value * seeds[..., None, :]).sum(axis=-1) / counts
    return seeds, rows
