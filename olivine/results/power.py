"""Dunnett's test of many rows against one, and the smallest difference that a test can find.

The probabilities are integrals over one or two variables, which a fixed rule computes to five
digits, where a general multivariate t-distribution needs random numbers.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Float

from olivine.results.statistics import ALPHA

POWER = 0.8  # probability of finding the "smallest difference"
_NUM_NORMAL_NODES, _NUM_CHI_NODES = 80, 40
_NUM_SIMULATED = 4000  # of the power of the signed-rank test, which has no closed form


def dunnett_p(statistics: Sequence[float], num_rows: int, num_degrees: int) -> list[float]:
    """Return p-values corrected over `num_rows` comparisons with one baseline (Dunnett 1955).

    `statistics` are the t-statistics, of one variance with `num_degrees` degrees of freedom and of
    equal numbers of values, so that any two have a correlation of 1/2. Two-sided; NaN stays.
    """
    return [
        math.nan if math.isnan(one) else _dunnett_tail(abs(one), num_rows, num_degrees)
        for one in statistics
    ]


@functools.lru_cache(maxsize=256)
def dunnett_critical(num_rows: int, num_degrees: int, level: float = ALPHA) -> float:
    """Return the statistic above which a comparison is significant at a level."""

    def excess(statistic: float) -> float:
        return _dunnett_tail(statistic, num_rows, num_degrees) - level

    highest = student_critical(num_rows, num_degrees, level)  # Bonferroni's
    return float(scipy.optimize.brentq(excess, 0.0, highest * (1 + 1e-3)))


def student_critical(num_rows: int, num_degrees: int, level: float = ALPHA) -> float:
    """Return the t-statistic above which the first step of Holm's correction is significant."""
    return float(scipy.stats.t.isf(level / num_rows / 2, num_degrees))


@functools.lru_cache(maxsize=256)
def findable(critical: float, num_degrees: int) -> float:
    """Return the smallest true difference, in its standard errors, found with `POWER`.

    It is found where the t-statistic exceeds the critical one, on either side.
    """
    scales, weights = _chi(num_degrees)

    def lacking(shift: float) -> float:
        beyond = critical * scales
        found = scipy.special.ndtr(shift - beyond) + scipy.special.ndtr(-shift - beyond)
        return float(weights @ found) - POWER

    return float(scipy.optimize.brentq(lacking, 0.0, 4 * critical + 4))


@functools.lru_cache(maxsize=64)
def findable_by_ranks(num_seeds: int, num_rows: int) -> float:
    """Return the same for Wilcoxon's signed-rank test with Holm's correction, in deviations.

    They are standard deviations of the differences, which are normal. Infinite, if the least p that
    so few seeds can give is not significant after the correction.
    """
    level = ALPHA / num_rows
    if 2.0 ** (1 - num_seeds) >= level:
        return math.inf
    drawn = np.random.default_rng(0).standard_normal((_NUM_SIMULATED, num_seeds))

    def lacking(shift: float) -> float:
        p = scipy.stats.wilcoxon(drawn + shift, axis=1).pvalue
        return float((p < level).mean()) - POWER

    low, high = 0.0, 16.0
    for _ in range(10):  # a step function: halving ends within 2 % of a deviation
        middle = (low + high) / 2
        low, high = (middle, high) if lacking(middle) < 0 else (low, middle)
    return high


def _dunnett_tail(statistic: float, num_rows: int, num_degrees: int) -> float:
    """Return P(max |T_i| > statistic) for T_i = (Z_i - Z_0) / sqrt(2) / S."""
    scales, weights = _chi(num_degrees)
    shared, normal = _normal()
    reach = math.sqrt(2) * statistic * scales[:, None]
    inside = scipy.special.ndtr(shared + reach) - scipy.special.ndtr(shared - reach)
    return float(np.clip(1 - weights @ (inside**num_rows @ normal), 0.0, 1.0))


@functools.lru_cache(maxsize=64)
def _chi(num_degrees: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return nodes and weights of the deviation that chance gives to a deviation of one."""
    chi2 = scipy.stats.chi2(num_degrees)
    low, high = (math.sqrt(chi2.ppf(p) / num_degrees) for p in (1e-13, 1 - 1e-13))
    nodes, weights = scipy.special.roots_legendre(_NUM_CHI_NODES)
    scales = (high + low) / 2 + (high - low) / 2 * nodes
    density = 2 * scales * num_degrees * chi2.pdf(scales**2 * num_degrees)
    found = weights * density
    return scales, found / found.sum()


@functools.lru_cache(maxsize=1)
def _normal() -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    nodes, weights = scipy.special.roots_legendre(_NUM_NORMAL_NODES)
    places = 8.5 * nodes
    found = weights * np.exp(-(places**2) / 2)
    return places, found / found.sum()
