"""Which settings vary over a sweep's trials, and which of them move the score.

Importance is the increase of a random forest's error on unseen points when one setting is shuffled
among them (Breiman 2001; scikit-learn's permutation importance), as a share of the score's
variance. A setting without effect has importance 0, and no importance is given if the forest cannot
predict unseen points. Functional ANOVA (Optuna's default) was tried too: it divides the variance of
the points to which it was fitted, and on pure noise it still gave 12 to 47 % to one of five
settings.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from olivine.results.tables.spec import UNKNOWN

MIN_POINTS, MIN_POINTS_PER_AXIS = 20, 3  # fewer give no importance
MIN_R2 = (
    0.25  # of the forest on unseen points; pure noise (20 to 30 points) exceeds it in 1 of 50 draws
)
NUM_FOLDS, NUM_SHUFFLES, NUM_TREES = 5, 5, 100


@dataclass(frozen=True)
class VaryingSetting:
    """A setting that varies, with those that always change together with it."""

    name: str
    together: tuple[str, ...]  # the names of the others
    values: tuple[str, ...]  # of each trial, as text; `UNKNOWN` where it has no such setting

    @property
    def label(self) -> str:
        """The displayed name."""
        return f"{self.name} (and {len(self.together)} more)" if self.together else self.name

    @property
    def is_numeric(self) -> bool:
        """Return whether all values are numbers."""
        return not any(math.isnan(value) for value in self._known())

    @property
    def is_log(self) -> bool:
        """Return whether its numbers span orders of magnitude."""
        known = self._known()
        return self.is_numeric and min(known) > 0 and max(known) / min(known) >= 50

    def numbers(self) -> Float[np.ndarray, " T"]:
        """Return a number per trial: the value, or the index of a text; NaN: no such setting."""
        if self.is_numeric:
            return np.array([_number(value) for value in self.values])
        codes = pd.factorize(np.array(self.values, dtype=object))[0].astype(float)
        codes[[value == UNKNOWN for value in self.values]] = np.nan
        return codes

    def _known(self) -> list[float]:
        return [_number(value) for value in self.values if value != UNKNOWN]


@dataclass(frozen=True)
class Importance:
    """The effect of each setting on the score, or the reason why it is unknown."""

    num_points: int
    shares: tuple[float, ...] = ()  # one per setting; 1: as much as the score varies
    deviations: tuple[float, ...] = ()  # over the folds
    r2: float = math.nan  # of the forest, on unseen points
    why_not: str = ""  # the reason; empty: the shares are known


def varying_settings(settings: Sequence[Mapping[str, str]]) -> tuple[VaryingSetting, ...]:
    """Return the settings, but for seeds, in which trials differ; `settings` as runs keep them.

    Settings that always change together are one, with the name of a part's kind if one of them is a
    kind. If nearly every trial has another value, no settings are joined.
    """
    names = dict.fromkeys(name for one in settings for name in one)
    found: dict[tuple[str | int, ...], list[str]] = {}
    for name in names:
        if name.rpartition(".")[2] == "seed":
            continue
        values = np.array([one.get(name, UNKNOWN) for one in settings], dtype=object)
        codes, known = pd.factorize(values)
        if len(known) > 1:
            own = () if 2 * len(known) <= len(settings) else (name,)
            found.setdefault((*own, *codes.tolist()), []).append(name)
    varying = []
    for group in found.values():
        first, *rest = sorted(group, key=lambda name: (not name.endswith(".kind"), len(name)))
        varying.append(
            VaryingSetting(first, tuple(rest), tuple(s.get(first, UNKNOWN) for s in settings))
        )
    return tuple(varying)


def of_trials(
    settings: Sequence[VaryingSetting], trials: Sequence[int]
) -> tuple[VaryingSetting, ...]:
    """Return the settings with the values of some of the trials."""
    return tuple(replace(one, values=tuple(one.values[i] for i in trials)) for one in settings)


def importance(settings: Sequence[VaryingSetting], scores: Float[np.ndarray, " T"]) -> Importance:
    """Return the effect of each setting on the score of finished points, repeatable bit by bit.

    Points that differ only in their seed must be averaged before.
    """
    num_points = len(scores)
    if not settings:
        return Importance(num_points, why_not="No setting varies.")
    needed = max(MIN_POINTS, MIN_POINTS_PER_AXIS * len(settings))
    if num_points < needed:
        return Importance(
            num_points,
            why_not=f"{num_points} finished configurations are too few to decide which of "
            f"{len(settings)} settings matters: {needed} are needed.",
        )
    variance = float(scores.var())
    if variance <= 1e-12 * max(1.0, float(np.abs(scores).max()) ** 2):
        return Importance(num_points, why_not="All configurations have the same score.")
    losses, r2 = _losses(np.stack([_column(one) for one in settings], axis=1), scores)
    if r2 < MIN_R2:
        return Importance(
            num_points,
            r2=r2,
            why_not=f"A random forest that has seen four fifths of the {num_points} "
            f"configurations cannot predict the others (R² {r2:.2f}, at least {MIN_R2:g} is asked "
            "for), so their settings do not tell which of them matters: chance decides more, or "
            "there are too few.",
        )
    shares, deviations = losses.mean(axis=0) / variance, losses.std(axis=0) / variance
    return Importance(num_points, tuple(shares.tolist()), tuple(deviations.tolist()), r2)


def _losses(
    columns: Float[np.ndarray, "T A"], scores: Float[np.ndarray, " T"]
) -> tuple[Float[np.ndarray, "F A"], float]:
    """Return the squared error that shuffling a setting adds, per fold, and R² on unseen points."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    predicted, losses = np.zeros_like(scores), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        for seen, unseen in KFold(NUM_FOLDS, shuffle=True, random_state=0).split(columns):
            forest = RandomForestRegressor(NUM_TREES, min_samples_leaf=2, random_state=0)
            forest.fit(columns[seen], scores[seen])
            predicted[unseen] = forest.predict(columns[unseen])
            lost = permutation_importance(
                forest,
                columns[unseen],
                scores[unseen],
                scoring="neg_mean_squared_error",
                n_repeats=NUM_SHUFFLES,
                random_state=0,
            )
            losses.append(lost.importances_mean)
    r2 = 1 - float(((scores - predicted) ** 2).mean() / scores.var())
    return np.stack(losses), r2


def _column(setting: VaryingSetting) -> Float[np.ndarray, " T"]:
    """Return the numbers of a setting for trees; a missing setting is below all values."""
    numbers = setting.numbers()
    return np.where(np.isnan(numbers), np.nanmin(numbers) - 1, numbers)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
