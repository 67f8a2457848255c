"""What a sweep may take, and what it has taken."""

import time

from pydantic import Field

from olivine.core.errors import UserError
from olivine.core.spec import Spec


class Limits(Spec):
    """What ends a sweep before its last trial; 0 is no limit.

    GPU-hours count devices: a trial on two GPUs takes two in an hour, one on half a GPU takes
    half of one. Without a GPU, each process of a trial counts as one device.
    """

    max_trials: int = Field(
        default=0, ge=0, description="Number of trials that this call may start; 0 has no limit."
    )
    max_gpu_hours: float = Field(
        default=0.0, ge=0, description="GPU-hours that all trials may take; 0 has no limit."
    )
    max_usd: float = Field(
        default=0.0, ge=0, description="Cost (USD) that all trials may have; 0 has no limit."
    )
    max_hours: float = Field(
        default=0.0,
        ge=0,
        description="Wall-clock time (h) that the sweep may take; 0 has no limit.",
    )


class Meter:
    """Counts what the trials of a sweep take while they run."""

    def __init__(self, limits: Limits, devices_per_trial: float, usd_per_gpu_hour: float):
        if limits.max_usd and not usd_per_gpu_hour:
            raise UserError(
                "A limit on cost needs a price: --set runtime.usd_per_gpu_hour=PRICE, or limit the "
                "hours by --max-gpu-hours."
            )
        self._limits, self._devices, self._usd = limits, devices_per_trial, usd_per_gpu_hour
        self._begin_s = time.monotonic()
        self._began_s: dict[str, float] = {}
        self._ended_h = 0.0
        self.num_started = 0

    def starts(self, trial: str) -> None:
        """Note that a trial begins."""
        self._began_s[trial] = time.monotonic()
        self.num_started += 1

    def ends(self, trial: str) -> None:
        """Note that a trial is over; one that never began costs nothing."""
        begin_s = self._began_s.pop(trial, None)
        if begin_s is not None:
            self._ended_h += self._devices * (time.monotonic() - begin_s) / 3600

    def gpu_hours(self) -> float:
        """Return the hours of devices that all trials have taken until now."""
        now_s = time.monotonic()
        running_h = sum(now_s - begin_s for begin_s in self._began_s.values()) / 3600
        return self._ended_h + self._devices * running_h

    def no_more_trials(self) -> str:
        """Return why none may start, or nothing."""
        limits = self._limits
        if limits.max_trials and self.num_started >= limits.max_trials:
            return f"--max-trials {limits.max_trials} is reached"
        return self.must_stop()

    def must_stop(self) -> str:
        """Return why those that run must stop too, or nothing."""
        limits, hours = self._limits, self.gpu_hours()
        clock_h = (time.monotonic() - self._begin_s) / 3600
        if limits.max_gpu_hours and hours >= limits.max_gpu_hours:
            return f"--max-gpu-hours {limits.max_gpu_hours:g} is reached"
        if limits.max_usd and hours * self._usd >= limits.max_usd:
            return f"--max-cost {limits.max_usd:g} is reached at {self._usd:g} an hour"
        if limits.max_hours and clock_h >= limits.max_hours:
            return f"--max-hours {limits.max_hours:g} is reached"
        return ""
