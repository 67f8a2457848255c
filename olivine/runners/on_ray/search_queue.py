"""The queue of a search's trials, suggested from earlier ones, that Ray Tune reads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml
from ray.tune.search import Searcher

from olivine.core.spec import Spec
from olivine.experiments.limits import Meter
from olivine.experiments.point_search import PointSearch
from olivine.experiments.search_space import Search
from olivine.experiments.sweep import Sweep, Trial, point_of
from olivine.experiments.sweep_plan import GAVE_UP, POINT
from olivine.runners.on_ray.trial import TAKEN_OVER, tune_config
from olivine.runners.on_ray.trial_queue import TrialSource
from olivine.tracking.tracker import FAILURE, RunRecord

Take = Callable[[Trial, int], None]  # called for a finished trial that becomes a point


class SearchQueue(TrialSource):
    """A source of a search's points; unfinished points of an earlier start come first."""

    def __init__(
        self,
        sweep: Sweep,
        base: Spec,
        identify: Callable[[Any], str],
        earlier: Sequence[RunRecord],
        meter: Meter,
        *,
        take: Take,
    ):
        super().__init__(meter)
        self._take = take
        assert sweep.search is not None
        self._search = sweep.search
        self._sweep, self._base, self._identify = sweep, base, identify
        # Another seed is used, because otherwise the first points would be drawn again.
        seed = sweep.seeds[0] + 1000 * len(earlier)
        self._points = PointSearch(self._search, seed)
        self._again: list[tuple[Trial, int]] = []
        self._numbers: dict[str, int] = {}  # fingerprint -> point of this start's study
        self._scores: dict[str, Mapping[str, float] | None] = {}
        self._number: dict[str, int] = {}  # fingerprint -> number in the store
        for run in sorted(earlier, key=_number):
            settings = settings_of(run, self._search)
            gave_up = run.tags.get(FAILURE, "").startswith(GAVE_UP)
            if run.status == "FINISHED" or gave_up:
                scores = None if gave_up else run.metrics
                self._points.add_earlier(settings, scores)
                self._scores[run.key.fingerprint] = scores
            else:
                self._again.append((point_of(sweep, base, settings, identify), _number(run)))
        self._next_number = max(map(_number, earlier), default=0) + 1

    def next(self) -> Trial | str | None:
        """Return a point that was not tried before; a repeated one only adds its known scores."""
        if self._again:
            trial, number = self._again.pop(0)
            self._number[trial.fingerprint] = number
            return trial
        while self._points.num_points + self._num_again() < self._search.num_points:
            number, settings = self._points.suggest()
            trial = point_of(self._sweep, self._base, settings, self._identify)
            if trial.fingerprint in self._scores:
                self._points.add_scores(number, self._scores[trial.fingerprint])
                continue
            self._numbers[trial.fingerprint] = number
            self._scores[trial.fingerprint] = None
            self._number[trial.fingerprint] = self._next_number
            self._next_number += 1
            return trial
        return Searcher.FINISHED

    def config_of(self, trial: Trial) -> dict[str, Any]:
        """Return the configuration for the trial's process."""
        return tune_config(trial, self._number[trial.fingerprint])

    def ended(self, trial: Trial, result: Mapping[str, Any], error: bool) -> None:
        """Add the scores of a point that ended now or earlier."""
        if result.get(TAKEN_OVER):
            self._take(trial, self._number[trial.fingerprint])
        goals = self._search.goals
        whole = not error and all(name in result for name in goals)
        scores = {name: float(result[name]) for name in goals} if whole else None
        self._scores[trial.fingerprint] = scores
        if trial.fingerprint in self._numbers:
            self._points.add_scores(self._numbers.pop(trial.fingerprint), scores)
        else:
            flat = trial.config.flatten()
            self._points.add_earlier({name: flat[name] for name in self._search.space}, scores)

    def _num_again(self) -> int:
        """Return the number of running points that an earlier start suggested."""
        return sum(trial.fingerprint not in self._numbers for trial in self.running.values())


def settings_of(run: RunRecord, search: Search) -> dict[str, Any]:
    """Return a point's settings from its run in the store."""
    return {name: yaml.safe_load(run.settings[name]) for name in search.space}


def _number(run: RunRecord) -> int:
    return int(run.tags.get(POINT, 0))
