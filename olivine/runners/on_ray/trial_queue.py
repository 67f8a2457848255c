"""The queue of an ablation's trials, from which Ray Tune takes the next one.

Tune's searchers may answer "not now", so trials that share a pretraining wait, without holding a
CPU or a GPU, until the first of them has done it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from olivine.experiments.limits import Meter
from olivine.experiments.sweep import Trial
from olivine.runners.on_ray.trial import tune_config


class TrialSource(Searcher, ABC):
    """A source of trials that ends at a limit.

    Nothing is restored from Tune's files, since the run store knows which trials are finished.
    """

    def __init__(self, meter: Meter):
        super().__init__()
        self._meter = meter
        self.running: dict[str, Trial] = {}  # by Tune's id
        self.failed: set[str] = set()  # fingerprints

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing for Tune's own record, which is never restored."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial, None if Tune should ask later, or `Searcher.FINISHED`."""
        if self._meter.no_more_trials():
            return Searcher.FINISHED
        trial = self.next()
        if not isinstance(trial, Trial):
            return trial
        self.running[trial_id] = trial
        self._meter.starts(trial_id)
        return self.config_of(trial)

    @abstractmethod
    def next(self) -> Trial | str | None:
        """Return a trial, None for later, or `Searcher.FINISHED`."""

    def config_of(self, trial: Trial) -> dict[str, Any]:
        """Return the configuration for the trial's process."""
        return tune_config(trial)

    def ended(self, trial: Trial, result: Mapping[str, Any], error: bool) -> None:
        """Handle the end of a trial."""

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Do nothing before a trial ends."""

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Handle the end of a trial by Tune's id."""
        self._meter.ends(trial_id)
        trial = self.running.pop(trial_id, None)
        if trial is not None:
            if error:
                self.failed.add(trial.fingerprint)
            self.ended(trial, result or {}, error)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing; no state is saved."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; no state was saved."""


class TrialQueue(TrialSource):
    """The trials of an ablation, in order, except those whose shared work is in progress.

    `done` is shared work that is finished.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        shared_work: Callable[[Any], str],
        meter: Meter,
        done: Iterable[str] = (),
    ):
        super().__init__(meter)
        self._waiting = [(trial, shared_work(trial.config)) for trial in trials]
        self._under_way: dict[str, str] = {}  # fingerprint of a running trial -> shared work
        self._done = {"", *done}

    def next(self) -> Trial | str | None:
        """Return the first trial whose shared work is not in progress."""
        if not self._waiting:
            return Searcher.FINISHED
        taken = set(self._under_way.values()) - self._done
        for position, (trial, work) in enumerate(self._waiting):
            if work not in taken:
                del self._waiting[position]
                self._under_way[trial.fingerprint] = work
                return trial
        return None

    def ended(self, trial: Trial, result: Mapping[str, Any], error: bool) -> None:
        """Release a trial's shared work; if it failed, the next trial tries it again."""
        work = self._under_way.pop(trial.fingerprint)
        if not error:
            self._done.add(work)
