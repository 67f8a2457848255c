"""Scores of runs on other draws of their split's scenes, and intervals of their differences."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from olivine.results.statistics import MIN_SCENES, bootstrap_interval, resampled
from olivine.training.scene_counts import SceneCounts

ReadScenes = Callable[[str], SceneCounts | None]  # by a run's fingerprint


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
