"""False positives and power of the tests over seeds, by simulation.

A column of rows by seeds is drawn many times: row 0 is the baseline, and all rows share an effect
of the seed. Told is the share of draws in which any row without an effect is called significant at
a corrected p of 0.05 (false positives), with equal and unequal deviations and heavy tails; then the
share in which the one row with an effect is found (power), and how often `auto` took the pooled
test.

    python benchmarks/results/power.py [--draws 1000] [--rows 5 11] [--seeds 3 4 5]
"""

import argparse
import math
import time
from collections.abc import Callable

import numpy as np

from olivine.results.seed_tests import compare_rows
from olivine.results.statistics import ALPHA

TESTS = ("t", "pooled", "auto")
Errors = Callable[[np.random.Generator, int, int], np.ndarray]


def normal(generator: np.random.Generator, num_rows: int, num_seeds: int) -> np.ndarray:
    """Return errors of one deviation."""
    return generator.standard_normal((num_rows, num_seeds))


def uneven(place: int, deviation: float) -> Errors:
    """Return errors of which one row has another deviation."""

    def errors(generator: np.random.Generator, num_rows: int, num_seeds: int) -> np.ndarray:
        found = normal(generator, num_rows, num_seeds)
        found[place] *= deviation
        return found

    return errors


def spread(generator: np.random.Generator, num_rows: int, num_seeds: int) -> np.ndarray:
    """Return errors whose deviations grow from row to row, from 0.5 to 3."""
    return normal(generator, num_rows, num_seeds) * np.linspace(0.5, 3, num_rows)[:, None]


def heavy(generator: np.random.Generator, num_rows: int, num_seeds: int) -> np.ndarray:
    """Return errors of Student's t-distribution with three degrees of freedom."""
    return generator.standard_t(3, (num_rows, num_seeds))


KINDS: dict[str, Errors] = {
    "equal": normal,
    "a row x2": uneven(-1, 2),
    "a row x3": uneven(-1, 3),
    "a row x6": uneven(-1, 6),
    "baseline x2": uneven(0, 2),
    "baseline x3": uneven(0, 3),
    "baseline x6": uneven(0, 6),
    "0.5 to 3": spread,
    "heavy tails": heavy,
}


def shares(
    errors: Errors, effect: float, num_draws: int, num_rows: int, num_seeds: int
) -> tuple[list[float], float]:
    """Return the share of draws with a significant row by test, and the share of auto's pooled.

    With an effect, in deviations, only the row that has it counts.
    """
    generator = np.random.default_rng(0)
    hits, num_pooled = dict.fromkeys(TESTS, 0), 0
    for _ in range(num_draws):
        values = 50 + errors(generator, num_rows, num_seeds) + 2 * generator.normal(size=num_seeds)
        values[1] += effect
        auto = compare_rows(values[0], values[1:], "auto")
        other = "t" if auto.used == "pooled" else "pooled"
        tested = {"auto": auto, auto.used: auto}
        tested[other] = compare_rows(values[0], values[1:], other)
        num_pooled += auto.used == "pooled"
        for test, found in tested.items():
            p = found.corrected[0] if effect else min(found.corrected)
            hits[test] += p < ALPHA
    return [hits[test] / num_draws for test in TESTS], num_pooled / num_draws


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rows", type=int, nargs="+", default=[5, 11])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--effects", type=float, nargs="+", default=[2.0, 3.0])
    chosen = parser.parse_args()
    begin_s = time.monotonic()
    noise = 2 * math.sqrt(ALPHA * (1 - ALPHA) / chosen.draws)
    print(f"{chosen.draws} draws; noise of a share of 5 %: {100 * noise:.1f} points")
    print("rows with the baseline | seeds | case | paired t, Holm | pooled | auto | auto is pooled")
    for num_rows in chosen.rows:
        for num_seeds in chosen.seeds:
            cases = [(kind, errors, 0.0) for kind, errors in KINDS.items()]
            cases += [(f"effect {effect:g}", normal, effect) for effect in chosen.effects]
            for kind, errors, effect in cases:
                found, pooled = shares(errors, effect, chosen.draws, num_rows, num_seeds)
                texts = [f"{100 * share:.1f} %" for share in (*found, pooled)]
                print(f"{num_rows} | {num_seeds} | {kind} | {' | '.join(texts)}", flush=True)
    print(f"{time.monotonic() - begin_s:.0f} s")


if __name__ == "__main__":
    main()
