"""What a report says of each trial, and which of them no other beats for less."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olivine.experiments.sweep_plan import GAVE_UP, POINT, PlannedTrial, SweepPlan
from olivine.results.sweep_report.trials import (
    DEVICE_TIME,
    TrialFacts,
    cost_unit,
    report_order,
    score_at_cost,
    trial_facts,
)
from olivine.tracking.tracker import FAILURE, RunKey, RunRecord

NUMBERS = st.integers(0, 6).map(float)


def facts(score: float, hours: float, row: str = "a", seed: int = 0, number: int = 0) -> TrialFacts:
    return TrialFacts(
        f"{row}{seed}", row, seed, number, "finished", "", float(score), float(hours), None
    )


def record(fingerprint: str, status: str, metrics=(), tags=(), **times: float) -> RunRecord:
    key = RunKey("trial", fingerprint)
    return RunRecord("id", key, "name", status, {}, dict(metrics), dict(tags), **times)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8), st.booleans())
def test_the_front_is_what_no_other_beats(points: list[tuple[float, float]], lower: bool) -> None:
    trials = [facts(s, h, number=i + 1) for i, (s, h) in enumerate(points)]
    found = score_at_cost(trials, is_search=True, lower_is_better=lower)
    assert len(found) == len(points)

    def beaten(score: float, hours: float) -> bool:
        good = -score if lower else score
        return any(
            (-s if lower else s) >= good and h <= hours and (s, h) != (score, hours)
            for s, h in points
        )

    for point in found:
        if point.on_front:
            assert not beaten(point.score, point.hours)
    unbeaten = {(s, h) for s, h in points if not beaten(s, h)}
    assert {(p.score, p.hours) for p in found if p.on_front} == unbeaten


def test_rows_are_means_over_seeds_with_the_samples_deviation() -> None:
    trials = [
        facts(10.0, 1.0, "a", 0),
        facts(14.0, 3.0, "a", 1),
        facts(11.0, 5.0, "b"),
        facts(math.nan, 1.0, "c"),
    ]
    a, b = score_at_cost(trials, is_search=False, lower_is_better=False)
    assert (a.name, a.score, a.hours, a.num_seeds) == ("a", 12, 2, 2)
    assert math.isclose(a.deviation, math.sqrt(8))
    assert (b.name, b.num_seeds, math.isnan(b.deviation)) == ("b", 1, True)
    assert (a.on_front, b.on_front) == (True, False)


def test_a_point_of_unknown_cost_is_last_and_on_no_front() -> None:
    points = score_at_cost([facts(9.0, math.nan), facts(1.0, 1.0, "b")], False, False)
    assert [(point.name, point.on_front) for point in points] == [("b", True), ("a", False)]


def test_every_fate_has_its_status_and_reason() -> None:
    names = ("done", "none", "failed", "stopped", "going", "never")
    plan = SweepPlan(
        name="s",
        metric="miou",
        searches="x",
        trials={name: PlannedTrial(row=name, seed=0) for name in names},
    )
    records = [
        record("done", "FINISHED", {"miou": 3.0, "hours": 2.0}, {POINT: "4"}),
        record("none", "FINISHED", {"hours": 2.0}),
        record("failed", "FAILED", tags={FAILURE: "out of memory"}),
        record("stopped", "KILLED", tags={FAILURE: f"{GAVE_UP}: probe_miou 3"}),
        record("going", "RUNNING"),
    ]
    found = {trial.fingerprint: trial for trial in trial_facts(plan, records)}
    assert list(found) == list(names)
    assert {name: trial.status for name, trial in found.items()} == {
        "done": "finished",
        "none": "finished",
        "failed": "failed",
        "stopped": "given up",
        "going": "running",
        "never": "never started",
    }
    assert (found["done"].score, found["done"].hours, found["done"].name) == (3.0, 2.0, "#4")
    assert found["failed"].reason == "out of memory"
    assert found["none"].reason == "It has no metric 'miou'."
    assert [name for name, trial in found.items() if trial.has_score] == ["done"]
    ordered = report_order(list(found.values()), is_search=True, lower_is_better=False)
    assert ordered[0].fingerprint == "done"


def test_without_measured_hours_the_clock_counts_and_a_finished_run_tells_most() -> None:
    plan = SweepPlan(name="s", metric="miou", trials={"a": PlannedTrial(row="a", seed=0)})
    again = record("a", "FAILED", start_s=9000.0, end_s=9001.0)
    done = record("a", "FINISHED", {"miou": 1.0}, start_s=100.0, end_s=1900.0)
    (trial,) = trial_facts(plan, [again, done])
    assert (trial.status, trial.hours) == ("finished", 0.5)
    (open_end,) = trial_facts(plan, [record("a", "FINISHED", {"miou": 1.0})])
    assert math.isnan(open_end.hours)


@pytest.mark.parametrize(
    ("hours", "header", "amount"),
    [
        ((30.0, 40.0, 0.1), "device time (h)", 30.0),
        ((0.3, 0.2, 0.9), "device time (min)", 18.0),
        ((0.006, 0.0136, 0.0163), "device time (s)", 21.6),
        ((1e-9, 1e-9, math.nan), "device time (s)", 3.6e-6),
        ((math.nan, math.nan), "device time (h)", math.nan),
    ],
)
def test_a_cost_has_the_unit_that_suits_its_size(
    hours: tuple[float, ...], header: str, amount: float
) -> None:
    unit = cost_unit(DEVICE_TIME, [facts(1.0, one) for one in hours])
    assert unit.header == header
    assert unit.amount(hours[0]) == pytest.approx(amount, nan_ok=True)
