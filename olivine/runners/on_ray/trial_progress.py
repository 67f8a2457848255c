"""What a sweep says while its trials run."""

import time
from collections.abc import Callable
from typing import Any

from ray import tune

from olivine.experiments.sweep import Sweep

EPOCH = "epoch"  # as the reports of a training call it


class TrialProgress(tune.Callback):
    """One line per trial: how many are done, what it scored or why it failed, time left.

    `stopped` has, by fingerprint, how far a trial had come that was told to stop.
    """

    def __init__(
        self,
        num_trials: int,
        sweep: Sweep,
        say: Callable[[str], None],
        failure_of: Callable[[str], str],
    ):
        self._num_trials, self._sweep, self._say = num_trials, sweep, say
        self._failure_of = failure_of
        self._start_s, self.done = 0.0, 0
        self.stopped: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Tune's own record, from which nothing is restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Count from here: Ray's own start says nothing about the trials."""
        self._start_s = self._start_s or time.monotonic()

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Tell the score, or that it was stopped."""
        metric, result = self._sweep.metric, trial.last_result
        if metric in result:
            self._tell(trial, f"{metric} {result[metric]:.4g}")
            return
        where = f"epoch {result.get(EPOCH, 0):g}"
        self.stopped[trial.config["fingerprint"]] = where
        self._tell(trial, f"stopped after {where}")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Tell why it failed."""
        reason = self._failure_of(trial.config["fingerprint"])
        self._tell(trial, f"failed: {reason or 'its process died'}")

    def _tell(self, trial: Any, outcome: str) -> None:
        self.done += 1
        per_trial_s = (time.monotonic() - self._start_s) / self.done
        left_s = per_trial_s * max(self._num_trials - self.done, 0)
        self._say(
            f"{self.done}/{self._num_trials} trials, {60 / per_trial_s:.3g} per minute, "
            f"{left_s:.0f} s left. {trial.config['row']}, seed {trial.config['seed']}: {outcome}"
        )
