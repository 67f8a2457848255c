"""Points of a search, each suggested from the scores of earlier points.

They come from Optuna's multi-objective tree-structured Parzen estimator. Its study is in memory;
after a crash it is built again from the points in the run store, so only that store has to survive.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from olivine.experiments.search_space import Choice, Real, Search, Whole


class PointSearch:
    """Suggests points and learns from their scores; equal seeds and histories give equal points."""

    def __init__(self, search: Search, seed: int):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._search, self._optuna = search, optuna
        self._spaces = {name: _distribution(optuna, space) for name, space in search.space.items()}
        sampler = optuna.samplers.TPESampler(n_startup_trials=search.num_random, seed=seed)
        directions: dict[str, Any] = {"max": "maximize", "min": "minimize"}
        self._study = optuna.create_study(
            sampler=sampler, directions=[directions[goal] for goal in search.goals.values()]
        )
        self._open: dict[int, Any] = {}
        self.num_points = 0

    def suggest(self) -> tuple[int, dict[str, Any]]:
        """Return a new point's number and settings."""
        trial = self._study.ask(self._spaces)
        number, self.num_points = self.num_points, self.num_points + 1
        self._open[number] = trial
        return number, dict(trial.params)

    def add_scores(self, number: int, scores: Mapping[str, float] | None) -> None:
        """Add a point's scores; None says that it failed or was stopped early."""
        trial = self._open.pop(number)
        values = None if scores is None else self._values(scores)
        if values is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, values)

    def add_earlier(self, settings: Mapping[str, Any], scores: Mapping[str, float] | None) -> None:
        """Add a point of an earlier start."""
        values = None if scores is None else self._values(scores)
        states = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.FAIL if values is None else states.COMPLETE,
                values=values,
                params=dict(settings),
                distributions=self._spaces,
            )
        )
        self.num_points += 1

    def best(self) -> Sequence[Mapping[str, Any]]:
        """Return the settings of the points that no other point beats in all goals."""
        return [trial.params for trial in self._study.best_trials]

    def _values(self, scores: Mapping[str, float]) -> list[float] | None:
        values = [scores.get(name, float("nan")) for name in self._search.goals]
        return None if any(map(math.isnan, values)) else values


def _distribution(optuna: Any, space: Real | Whole | Choice) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(space.values)
    if isinstance(space, Whole):
        return optuna.distributions.IntDistribution(space.low, space.high, log=space.log)
    return optuna.distributions.FloatDistribution(space.low, space.high, log=space.log)
