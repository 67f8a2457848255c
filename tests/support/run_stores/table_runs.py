"""Runs as a table is asked for them, made from scores by row and seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from olivine.results.tables.runs import TableRun, TableRuns
from olivine.training.scene_counts import SceneCounts

CLASSES = ("car", "road", "tree")


def table_runs(
    scores: Mapping[str, Sequence[float]],
    settings: Mapping[str, Mapping[str, str]] | None = None,
    why: Mapping[tuple[str, int], str] | None = None,
    overlaps: Mapping[str, str] | None = None,
) -> TableRuns:
    """Return a run per row and seed; `why` names those without a result, `overlaps` rows' leaks."""
    runs = []
    for row, values in scores.items():
        for seed, score in enumerate(values):
            reason = (why or {}).get((row, seed), "")
            own = {"seed": str(seed), **(settings or {}).get(row, {})}
            metrics = {} if reason else {"miou": score, "accuracy": 2 * score, "loss": score / 1000}
            started = reason != "never started"
            fingerprint = f"{row}{seed}"
            run = TableRun(fingerprint, row, "small", seed, reason, own, metrics, started)
            runs.append(replace(run, overlap=(overlaps or {}).get(row, "")))
    return TableRuns(tuple(runs))


def scene_counts(
    share_right: float, *, num_scenes: int = 20, seed: int = 0, absent: str = "skip"
) -> SceneCounts:
    """Return counts of scenes that differ in difficulty, about so many of their points right.

    One `seed` gives the same scenes whatever share is right.
    """
    rng = np.random.default_rng(seed)
    points = rng.integers(500, 1500, (num_scenes, len(CLASSES)))
    share = np.clip(share_right + rng.normal(0, 0.1, (num_scenes, 1)), 0.02, 0.98)
    hits = np.random.default_rng([seed, int(1e6 * share_right)]).binomial(points, share)
    counts = np.zeros((num_scenes, len(CLASSES), len(CLASSES)), dtype=np.int64)
    for true in range(len(CLASSES)):
        counts[:, true, true] = hits[:, true]
        counts[:, true, (true + 1) % len(CLASSES)] = (points - hits)[:, true]
    names = tuple(f"scene-{number:04d}" for number in range(num_scenes))
    return SceneCounts(names, counts, CLASSES, absent)


def reader(shares: Mapping[str, float], **settings: int) -> Callable[[str], SceneCounts | None]:
    """Return what reads the counts of a row's runs; a row that is not there left none."""

    def read(fingerprint: str) -> SceneCounts | None:
        share = shares.get(fingerprint[:-1])
        return None if share is None else scene_counts(share, **settings)

    return read
