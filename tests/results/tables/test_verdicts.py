"""Words of a verdict: "better" and "worse" need seeds and scenes of one direction."""

import itertools
import math

import pytest

from olivine.results.statistics import SeedDifference
from olivine.results.tables.verdicts import verdict


def told(difference, p, scenes, *, lower=False, num_seeds=3):
    seeds = SeedDifference(difference, difference - 1, difference + 1, p, num_seeds)
    return verdict(seeds, p, scenes, "pooled", lower)


@pytest.mark.parametrize(
    ("difference", "p", "scenes", "words"),
    [
        (2.0, 0.01, (1.0, 3.0), "better"),
        (-2.0, 0.01, (-3.0, -1.0), "worse"),
        (2.0, 0.01, (-1.0, 3.0), "ahead over seeds, undecided over scenes"),
        (-2.0, 0.01, (-3.0, 1.0), "behind over seeds, undecided over scenes"),
        (2.0, 0.01, (-3.0, -1.0), "ahead over seeds, behind over scenes"),
        (-2.0, 0.01, (1.0, 3.0), "behind over seeds, ahead over scenes"),
        (2.0, 0.01, None, "ahead over seeds, no interval over scenes"),
        (2.0, 0.06, (1.0, 3.0), "undecided"),
        (2.0, math.nan, (1.0, 3.0), "no spread over seeds"),
    ],
)
def test_the_words(difference, p, scenes, words):
    assert told(difference, p, scenes) == words


def test_better_needs_both_directions_and_their_mirror_is_worse():
    signs = (-2.0, 2.0)
    intervals = (None, (-3.0, -1.0), (-1.0, 1.0), (1.0, 3.0))
    for difference, scenes, lower in itertools.product(signs, intervals, (False, True)):
        words = told(difference, 0.001, scenes, lower=lower)
        agree = scenes is not None and scenes[0] * difference > 0 and scenes[1] * difference > 0
        assert ("better" in words or "worse" in words) == agree
        if agree:
            assert words == ("better" if (difference > 0) != lower else "worse")


def test_few_seeds_have_none():
    assert told(2.0, 0.01, (1.0, 3.0), num_seeds=2) == "too few seeds (n=2)"
    assert told(math.nan, math.nan, None, num_seeds=0) == "no seed in common"
