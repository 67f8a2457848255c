import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.experiments.sweep_plan import ROW, SEED, SWEEP, PlannedTrial, SweepPlan
from olivine.results.tables.runs import TableRuns, differing_settings, ordered_names, variants
from olivine.tracking.tracker import FAILURE, RunKey, RunRecord
from tests.support.run_stores.table_runs import table_runs


def record(fingerprint: str, score: float, status: str = "FINISHED", **tags: str) -> RunRecord:
    key, metrics = RunKey("trial", fingerprint), {"miou": score}
    return RunRecord("id", key, fingerprint, status, {"lr": "1", "seed": "4"}, metrics, tags)


def test_a_plan_asks_for_its_trials_whoever_ran_them():
    plan = SweepPlan(
        name="small",
        metric="miou",
        trials={name: PlannedTrial(row=f"row {name}", seed=i) for i, name in enumerate("dcba")},
    )
    newest_first = [
        record("a", 3.0, "FAILED", **{FAILURE: "out of memory"}),
        record("stranger", 100.0),
        record("a", 1.0),
        record("a", 2.0),
        record("b", 0.0, "RUNNING"),
        record("c", 0.0, "KILLED", **{FAILURE: "The sweep was killed."}),
        record("c", 0.0, "FAILED"),
    ]
    runs = TableRuns.of_sweep(newest_first, plan).runs
    assert [(run.row, run.seed) for run in runs] == [
        ("row d", 0), ("row c", 1), ("row b", 2), ("row a", 3),
    ]  # fmt: skip
    assert [run.why for run in runs] == [
        "never started", "killed: The sweep was killed.", "running", "",
    ]  # fmt: skip
    assert runs[3].metrics == {"miou": 1.0}  # of finished runs the newest
    assert [run.has_started for run in runs] == [False, True, True, True]


def test_a_store_is_asked_for_all_its_trials_the_oldest_first():
    tags = {ROW: "PPKT, 10 %", SEED: "7", SWEEP: "methods"}
    first, second = TableRuns.of_store([record("b", 1.0), record("a", 2.0, **tags)]).runs
    assert (first.row, first.seed, first.sweep) == ("PPKT, 10 %", 7, "methods")
    assert first.label("method") == "PPKT"
    assert (second.row, second.seed, second.sweep) == ("b", 4, "–")
    assert second.label("width") == "–"


def test_more_metrics_never_hide_a_runs_own():
    runs = table_runs({"a": [1.0]}).with_metrics(
        {"a0": {"miou": 9.0, "hours": 2.0}, "b": {"x": 1.0}}
    )
    assert (runs.runs[0].metrics["miou"], runs.runs[0].metrics["hours"]) == (1.0, 2.0)
    assert "x" not in runs.metric_names()


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([("10",), ("9.5",), None, ("1e-3",), ("9.5",)], ("1e-3", "9.5", "10")),
        ([("b",), ("a",), ("b",)], ("b", "a")),
        ([("–",), ("2",), ("1",)], ("1", "2", "–")),
        ([("x", "10"), ("y", "1"), ("x", "2")], ("x, 2", "x, 10", "y, 1")),
        ([()], ("",)),
    ],
)
def test_numbers_go_by_size_and_texts_as_they_came(groups, expected):
    assert ordered_names(groups) == expected


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from("xy"), st.sampled_from("12"), st.sampled_from("12 ")), min_size=1
    )
)
def test_settings_that_differ_within_a_cell_are_found(points):
    own = {
        f"{i}": {"cell": cell, "a": a, "fixed": "1"} | ({"b": b} if b.strip() else {})
        for i, (cell, a, b) in enumerate(points)
    }
    runs = table_runs({row: [0.0] for row in own}, own).runs
    found = differing_settings(runs, [cell for cell, _, _ in points])
    for name, place in (("a", 1), ("b", 2)):
        values = {cell: {point[place] for point in points if point[0] == cell} for cell in "xy"}
        assert (name in found) == any(len(of_cell) > 1 for of_cell in values.values())
    assert not {"fixed", "seed", "cell"} & set(found)
    numbers = variants(found, len(runs))
    for i, j in np.ndindex(len(points), len(points)):
        same = all(own[f"{i}"].get(name) == own[f"{j}"].get(name) for name in found)
        assert (numbers[i] == numbers[j]) == same
