"""The lines that a sweep logs while its trials run."""

import time
from collections.abc import Callable
from typing import Any

from ray import tune

from olivine.experiments.sweep import Sweep

EPOCH = "epoch"  # as the reports of a training call it


class TrialProgress(tune.Callback):
    """One line per trial: how many are done, its score or its failure, and the time left.

    `stopped` has, by fingerprint, the progress of trials that were stopped.
    """

    def __init__(
        self,
        num_trials: int,
        sweep: Sweep,
        log: Callable[[str], None],
        failure_of: Callable[[str], str],
    ):
        self._num_trials, self._sweep, self._log = num_trials, sweep, log
        self._failure_of = failure_of
        self._start_s, self.done = 0.0, 0
        self.stopped: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing for Tune's own record, which is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Measure the time from the first trial's start, without Ray's own start."""
        self._start_s = self._start_s or time.monotonic()

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Log the score, or that the trial was stopped."""
        metric, result = self._sweep.metric, trial.last_result
        if metric in result:
            self._log_line(trial, f"{metric} {result[metric]:.4g}")
            return
        where = f"epoch {result.get(EPOCH, 0):g}"
        self.stopped[trial.config["fingerprint"]] = where
        self._log_line(trial, f"stopped after {where}")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Log the reason of a failure."""
        reason = self._failure_of(trial.config["fingerprint"])
        self._log_line(trial, f"failed: {reason or 'its process died'}")

    def _log_line(self, trial: Any, outcome: str) -> None:
        self.done += 1
        per_trial_s = (time.monotonic() - self._start_s) / self.done
        left_s = per_trial_s * max(self._num_trials - self.done, 0)
        self._log(
            f"{self.done}/{self._num_trials} trials, {60 / per_trial_s:.3g} per minute, "
            f"{left_s:.0f} s left. {trial.config['row']}, seed {trial.config['seed']}: {outcome}"
        )
