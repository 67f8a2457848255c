"""Compares every row of a table with its baseline, over seeds and over scenes."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from olivine.results.seed_tests import FamilyTest, compare_rows, smallest_differences
from olivine.results.statistics import SeedDifference
from olivine.results.tables.runs_by_cell import RunsByCell
from olivine.results.tables.scene_scores import ReadScenes, SceneScores
from olivine.results.tables.table import BaselineComparison, Family
from olivine.results.tables.verdicts import NOT_COMPARABLE, verdict

Key = tuple[str, str, str]  # row, column, metric
BySeed = dict[int, list[int]]  # the lines of a cell's finished runs
Scores = dict[int, float]  # by seed


@dataclass(frozen=True)
class Comparisons:
    """The comparison of every cell that has a result with the baseline's in its column."""

    cells: Mapping[Key, BaselineComparison]
    families: tuple[Family, ...]  # of each column and metric


def compare_with_baseline(runs: RunsByCell, read_scenes: ReadScenes) -> Comparisons:
    """Compare every row; without a baseline, only find what a comparison could tell.

    p-values are corrected over the rows of one column and metric, because each such block is a
    separate question.
    """
    cells = _Cells(runs, SceneScores(read_scenes, runs.spec.metrics))
    found, families = dict[Key, BaselineComparison](), list[Family]()
    for column in runs.columns:
        for metric in runs.spec.metrics:
            if runs.spec.baseline:
                family, block = cells.compare_block(column, metric)
                found |= block
            else:
                family = cells.untested(column, metric)
            families.append(family)
    return Comparisons(found, tuple(families))


class _Cells:
    """Finished runs of the rows of a table, by seed."""

    def __init__(self, runs: RunsByCell, scenes: SceneScores):
        self._spec, self._rows, self._scenes = runs.spec, runs.rows, scenes
        lines = runs.lines
        self._values = {name: lines[name].to_numpy() for name in runs.spec.metrics}
        self._variant = lines["variant"].to_numpy()
        self._fingerprint = lines["fingerprint"].tolist()
        self._lines: dict[tuple[str, str], BySeed] = defaultdict(lambda: defaultdict(list))
        keys = zip(lines["row"], lines["column"], lines["seed"], strict=True)
        for line, (row, column, seed) in enumerate(keys):
            self._lines[row, column][seed].append(line)

    def compare_block(
        self, column: str, metric: str
    ) -> tuple[Family, dict[Key, BaselineComparison]]:
        """Compare the rows of a column that have the metric."""
        others = {
            row: scores
            for row in self._rows
            if row != self._spec.baseline and (scores := self._scores(row, column, metric))
        }
        baseline = self._scores(self._spec.baseline, column, metric)
        pairs = {row: self._pairs(row, column, scores, baseline) for row, scores in others.items()}
        alike = [row for row in others if self._are_alike(pairs[row])]
        of_seeds = _by_seed([baseline, *(others[row] for row in alike)])
        tested = compare_rows(of_seeds[0], of_seeds[1:], self._spec.test)
        block: dict[Key, BaselineComparison] = {}
        for row, scores in others.items():
            if row in alike:
                one = self._comparison(tested, alike.index(row), pairs[row], metric)
            else:
                one = _not_comparable(scores, baseline, tested)
            block[row, column, metric] = one
        return _family(column, metric, tested, of_seeds), block

    def untested(self, column: str, metric: str) -> Family:
        """Return the family of a block without a baseline, of which no difference is tested."""
        found = [self._scores(row, column, metric) for row in self._rows]
        values = _by_seed([scores for scores in found if scores])
        return Family(column, metric, 0, "", "", *smallest_differences(values), *_counts(values))

    def _comparison(
        self,
        tested: FamilyTest,
        index: int,
        pairs: Sequence[tuple[list[int], list[int]]],
        metric: str,
    ) -> BaselineComparison:
        prints = [
            ([self._fingerprint[i] for i in a], [self._fingerprint[i] for i in b]) for a, b in pairs
        ]
        interval, why = self._scenes.difference(prints, metric)
        seeds, p = tested.rows[index], tested.corrected[index]
        words = verdict(seeds, p, interval, tested.used, self._spec.prefers_lower(metric))
        return BaselineComparison(
            seeds, p, tested.used, tested.correction, tested.findable[index], interval, why, words
        )

    def _scores(self, row: str, column: str, metric: str) -> Scores:
        """Return the mean of a cell's runs by seed, of those that have the metric."""
        means = {
            seed: _known_mean(self._values[metric][lines])
            for seed, lines in self._lines[row, column].items()
        }
        return {seed: mean for seed, mean in means.items() if not math.isnan(mean)}

    def _pairs(
        self, row: str, column: str, scores: Scores, baseline: Scores
    ) -> list[tuple[list[int], list[int]]]:
        """Return the lines of a row and of the baseline, for each seed that both have."""
        cell, other = (self._lines[name, column] for name in (row, self._spec.baseline))
        return [(cell[seed], other[seed]) for seed in sorted(scores.keys() & baseline.keys())]

    def _are_alike(self, pairs: Sequence[tuple[list[int], list[int]]]) -> bool:
        """Return whether a row differs from the baseline in nothing but what decides the row."""
        return all(sorted(self._variant[a]) == sorted(self._variant[b]) for a, b in pairs)


def _by_seed(rows: Sequence[Scores]) -> Float[np.ndarray, "k b"]:
    """Return a line per row and a column per seed; NaN where a row has no such seed."""
    seeds = sorted(set().union(*rows))
    return np.array([[row.get(seed, math.nan) for seed in seeds] for row in rows]).reshape(
        len(rows), len(seeds)
    )


def _not_comparable(scores: Scores, baseline: Scores, tested: FamilyTest) -> BaselineComparison:
    shared = scores.keys() & baseline.keys()
    mean = float(np.mean([scores[seed] - baseline[seed] for seed in shared]))
    seeds = SeedDifference(mean, math.nan, math.nan, math.nan, len(shared))
    return BaselineComparison(
        seeds,
        math.nan,
        tested.used,
        tested.correction,
        math.nan,
        None,
        NOT_COMPARABLE,
        NOT_COMPARABLE,
    )


def _family(
    column: str, metric: str, tested: FamilyTest, values: Float[np.ndarray, "k b"]
) -> Family:
    known = [one for one in tested.findable if not math.isnan(one)] or [math.nan]
    return Family(
        column,
        metric,
        tested.num_tests,
        tested.used,
        tested.correction,
        min(known),
        max(known),
        *_counts(values),
        tested.why_paired,
    )


def _counts(values: Float[np.ndarray, "k b"]) -> tuple[int, int]:
    counts = (~np.isnan(values)).sum(axis=1).tolist() or [0]
    return min(counts), max(counts)


def _known_mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
