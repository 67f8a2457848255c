"""Compares every row of a table with its baseline, over seeds and over scenes."""

import functools
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from olivine.results.statistics import (
    MIN_SCENES,
    MIN_SEEDS,
    bootstrap_interval,
    holm,
    paired_test,
    resampled,
)
from olivine.results.tables.runs_by_cell import RunsByCell
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.table import ALPHA, BaselineComparison
from olivine.training.scene_counts import SceneCounts

UNDECIDED, NOT_COMPARABLE = "undecided", "not comparable"
ReadScenes = Callable[[str], SceneCounts | None]  # by a run's fingerprint
Key = tuple[str, str, str]  # row, column, metric
BySeed = dict[int, list[int]]  # the lines of a cell's finished runs


def compare_with_baseline(
    runs: RunsByCell, read_scenes: ReadScenes
) -> dict[Key, BaselineComparison]:
    """Return the comparison of every cell that has a result with the baseline's in its column.

    p-values are corrected over the rows of one column and metric, because each such block is a
    separate question.
    """
    pairs = _Pairs(runs, SceneScores(read_scenes, runs.spec.metrics))
    spec, found = runs.spec, dict[Key, BaselineComparison]()
    for column in runs.columns:
        for metric in spec.metrics:
            keys = [(row, column, metric) for row in runs.rows if row != spec.baseline]
            block = {key: pairs.compare(*key) for key in keys if pairs.has_result(*key)}
            corrected = holm([one.seeds.p for one in block.values()])
            for (key, one), p in zip(block.items(), corrected, strict=True):
                whole = replace(one, p_holm=p)
                found[key] = replace(whole, verdict=one.verdict or _verdict(whole, metric, spec))
    return found


@dataclass(frozen=True)
class SceneScores:
    """Scores of runs on draws of the scenes of their split; the same draws for all runs."""

    read: ReadScenes
    metrics: tuple[str, ...]
    _known: dict[str, tuple[tuple[str, ...], dict[str, np.ndarray]] | None] = field(
        default_factory=dict, repr=False
    )

    def difference(
        self, pairs: list[tuple[list[str], list[str]]], metric: str
    ) -> tuple[tuple[float, float] | None, str]:
        """Return the interval of a mean difference over seeds, or the reason why there is none.

        `pairs` holds for each seed the fingerprints of a row and of the baseline.
        """
        prints = {name for pair in pairs for names in pair for name in names}
        known = {name: self._scores(name) for name in prints}
        lacking = sum(scores is None for scores in known.values())
        if lacking:
            return None, f"{lacking} of {len(known)} runs have no counts per scene"
        scenes = {scores[0] for scores in known.values() if scores is not None}
        if len(scenes) != 1:
            return None, "not the same scenes" if scenes else "no seed in common"
        values = {name: scores[1] for name, scores in known.items() if scores is not None}
        if any(metric not in scores for scores in values.values()):
            return None, "no score of points"
        (names,) = scenes
        if len(names) < MIN_SCENES:
            return None, f"too few scenes ({len(names)})"
        mean = _mean([_mean([values[name][metric] for name in row]) for row, _ in pairs])
        other = _mean([_mean([values[name][metric] for name in row]) for _, row in pairs])
        interval = bootstrap_interval(mean - other, len(names))
        return interval, "" if interval else "a class is in too few scenes"

    def _scores(self, fingerprint: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]] | None:
        if fingerprint not in self._known:
            counts = self.read(fingerprint)
            drawn = None if counts is None else (counts.scenes, self._drawn(counts))
            self._known[fingerprint] = drawn
        return self._known[fingerprint]

    def _drawn(self, counts: SceneCounts) -> dict[str, np.ndarray]:
        metrics = [metric for metric in self.metrics if counts.can_score(metric)]
        if len(counts.scenes) < MIN_SCENES:
            return dict.fromkeys(metrics, np.zeros(0))
        return counts.scores(metrics, _draws(len(counts.scenes)))


@functools.lru_cache(maxsize=2)
def _draws(num_scenes: int) -> Float[np.ndarray, "B S"]:
    return resampled(num_scenes)


def _mean(values: list[np.ndarray]) -> np.ndarray:
    return sum(values[1:], start=values[0]) / len(values)


class _Pairs:
    """Finished runs of two rows, paired by seed."""

    def __init__(self, runs: RunsByCell, scenes: SceneScores):
        self._spec, self._scenes = runs.spec, scenes
        lines = runs.lines
        self._values = {name: lines[name].to_numpy() for name in runs.spec.metrics}
        self._variant = lines["variant"].to_numpy()
        self._fingerprint = lines["fingerprint"].tolist()
        self._cells: dict[tuple[str, str], BySeed] = defaultdict(lambda: defaultdict(list))
        keys = zip(lines["row"], lines["column"], lines["seed"], strict=True)
        for line, (row, column, seed) in enumerate(keys):
            self._cells[row, column][seed].append(line)

    def has_result(self, row: str, column: str, metric: str) -> bool:
        """Return whether any run of a cell has the metric."""
        lines = [line for of_seed in self._cells[row, column].values() for line in of_seed]
        return not math.isnan(_known_mean(self._values[metric][lines]))

    def compare(self, row: str, column: str, metric: str) -> BaselineComparison:
        """Return a comparison without corrected p and verdict, which need the other rows."""
        cell, baseline = (self._cells[name, column] for name in (row, self._spec.baseline))
        score = {
            (of, seed): _known_mean(self._values[metric][lines])
            for of, rows in enumerate((cell, baseline))
            for seed, lines in rows.items()
        }
        seeds = [
            seed
            for seed in sorted(cell.keys() & baseline.keys())
            if not math.isnan(score[0, seed] + score[1, seed])
        ]
        values, others = (np.array([score[of, seed] for seed in seeds]) for of in (0, 1))
        test = paired_test(values, others, self._spec.test)
        pairs = [(cell[seed], baseline[seed]) for seed in seeds]
        if any(sorted(self._variant[a]) != sorted(self._variant[b]) for a, b in pairs):
            unknown = replace(test, low=math.nan, high=math.nan, p=math.nan)
            return BaselineComparison(unknown, math.nan, None, NOT_COMPARABLE, NOT_COMPARABLE)
        prints = [
            ([self._fingerprint[i] for i in a], [self._fingerprint[i] for i in b]) for a, b in pairs
        ]
        interval, why = self._scenes.difference(prints, metric)
        return BaselineComparison(test, math.nan, interval, why, "")


def _verdict(compared: BaselineComparison, metric: str, spec: TableSpec) -> str:
    """Return the verdict that the numbers allow, in words."""
    seeds, scenes = compared.seeds, compared.scenes
    if not seeds.num_seeds:
        return "no seed in common"
    if seeds.num_seeds < MIN_SEEDS[spec.test]:
        return f"too few seeds (n={seeds.num_seeds})"
    if math.isnan(seeds.p):
        return "no spread over seeds"
    if compared.p_holm >= ALPHA:
        return UNDECIDED
    word = "better" if (seeds.difference < 0) == spec.prefers_lower(metric) else "worse"
    if scenes is None:
        return f"{word} over seeds"
    return f"{word} over seeds, undecided over scenes" if scenes[0] <= 0 <= scenes[1] else word


def _known_mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
