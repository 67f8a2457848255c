"""The verdict on a difference, in words that claim no more than seeds and scenes together do."""

import math

from olivine.results.statistics import ALPHA, MIN_SEEDS, SeedDifference

UNDECIDED, NOT_COMPARABLE = "undecided", "not comparable"


def verdict(
    seeds: SeedDifference,
    p: float,
    scenes: tuple[float, float] | None,
    test: str,
    prefers_lower: bool,
) -> str:
    """Return the verdict on a difference to the baseline, `p` corrected over its family.

    "better" and "worse" stand only where the differences over seeds and over scenes have one
    direction. A row that is ahead or behind over seeds alone is told so, with what its scenes say.
    """
    if why := _why_undecided(seeds, p, test):
        return why
    is_better = (seeds.difference < 0) == prefers_lower
    over_seeds = f"{_side(is_better)} over seeds"
    if scenes is None:
        return f"{over_seeds}, no interval over scenes"
    low, high = scenes
    if low <= 0 <= high:
        return f"{over_seeds}, undecided over scenes"
    if (high < 0) != (seeds.difference < 0):
        return f"{over_seeds}, {_side(not is_better)} over scenes"
    return "better" if is_better else "worse"


def _why_undecided(seeds: SeedDifference, p: float, test: str) -> str:
    if not seeds.num_seeds:
        return "no seed in common"
    if seeds.num_seeds < MIN_SEEDS[test]:
        return f"too few seeds (n={seeds.num_seeds})"
    if math.isnan(seeds.p):
        return "no spread over seeds"
    return "" if p < ALPHA else UNDECIDED


def _side(is_better: bool) -> str:
    return "ahead" if is_better else "behind"
