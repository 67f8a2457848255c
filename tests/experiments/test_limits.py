"""What ends a sweep before its last trial."""

import time

import pytest

from olivine.core.errors import UserError
from olivine.experiments.limits import Limits, Meter


class Clock:
    """Stands still until it is moved."""

    def __init__(self, monkeypatch):
        self.hours = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: 3600 * self.hours)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_hours_are_those_of_all_devices_of_all_trials(clock):
    meter = Meter(Limits(), devices_per_trial=2.0, usd_per_gpu_hour=0.0)
    meter.starts("a")
    clock.hours = 1
    meter.starts("b")
    clock.hours = 3
    meter.ends("a")
    meter.ends("never began")
    assert meter.gpu_hours() == pytest.approx(2 * (3 + 2))
    clock.hours = 4
    assert meter.gpu_hours() == pytest.approx(2 * (3 + 3))
    assert meter.no_more_trials() == ""


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_gpu_hours": 4}, "--max-gpu-hours 4"),
        ({"max_usd": 10}, "--max-cost 10 is reached at 2.5"),
        ({"max_hours": 2}, "--max-hours 2"),
    ],
)
def test_at_a_limit_of_time_or_money_all_trials_end(clock, limits, told):
    meter = Meter(Limits(**limits), devices_per_trial=2.0, usd_per_gpu_hour=2.5)
    meter.starts("a")
    clock.hours = 1.9
    assert meter.must_stop() == meter.no_more_trials() == ""
    clock.hours = 2
    assert told in meter.must_stop()
    assert told in meter.no_more_trials()


def test_at_a_number_of_trials_those_that_run_go_on(clock):
    meter = Meter(Limits(max_trials=2), devices_per_trial=1.0, usd_per_gpu_hour=0.0)
    for trial in "ab":
        assert not meter.no_more_trials()
        meter.starts(trial)
    assert meter.no_more_trials() == "--max-trials 2 is reached"
    assert meter.must_stop() == ""


def test_a_limit_on_cost_needs_a_price():
    with pytest.raises(UserError, match="usd_per_gpu_hour"):
        Meter(Limits(max_usd=5), devices_per_trial=1.0, usd_per_gpu_hour=0.0)
