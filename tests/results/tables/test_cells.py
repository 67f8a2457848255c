import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olivine.core.errors import UserError
from olivine.results.tables.cells import make_table
from olivine.results.tables.runs import TableRuns
from olivine.results.tables.spec import TableSpec
from tests.support.run_stores.table_runs import table_runs

SCORES = {"random": [8.0, 9.0, 7.0], "PPKT": [30.0, 32.0, 34.0], "OLIVINE": [40.0, 41.0, 45.0]}
MIOU = TableSpec(metrics=("miou",))


def cell(table, row, column="", metric="miou"):
    return table.cell(row, column, metric)


def test_mean_and_sample_deviation_over_seeds():
    table = make_table(table_runs(SCORES), TableSpec(metrics=("miou", "accuracy")), "t")
    assert table.rows == tuple(SCORES)
    for row, scores in SCORES.items():
        found = cell(table, row)
        assert found.mean == pytest.approx(statistics.mean(scores))
        assert found.std == pytest.approx(statistics.stdev(scores))
        assert found.n == 3
        assert cell(table, row, metric="accuracy").mean == pytest.approx(2 * found.mean)


def test_one_seed_has_no_deviation_and_no_seed_no_mean():
    runs = table_runs({"a": [30.0], "b": [1.0]}, why={("b", 0): "running"})
    table = make_table(runs, MIOU, "t")
    assert (cell(table, "a").mean, cell(table, "a").n) == (30.0, 1)
    assert math.isnan(cell(table, "a").std)
    assert not cell(table, "b").has_value
    assert (cell(table, "b").n, cell(table, "b").missing) == (0, "running")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=7), st.booleans())
def test_the_best_and_the_second_are_marked_with_their_ties(scores, lower):
    rows = {f"row {i}": [float(score)] for i, score in enumerate(scores)}
    spec = TableSpec(metrics=("miou",), lower_is_better=("miou",) if lower else ())
    table = make_table(table_runs(rows), spec, "t")
    best = sorted(set(scores), reverse=not lower)
    for i, score in enumerate(scores):
        place = best.index(score) + 1
        assert cell(table, f"row {i}").rank == (place if place <= 2 else 0)


def test_equal_as_written_is_equal():
    table = make_table(table_runs({"a": [10.001], "b": [10.004], "c": [9.0]}), MIOU, "t")
    assert [cell(table, row).rank for row in "abc"] == [1, 1, 2]


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("miou", False), ("iou/car", False), ("pretrain/frames_per_s", False),
        ("probe_miou", False), ("probe/loss", True), ("probe/cross_entropy", True),
        ("pretrain/device_hours", True), ("pretrain/peak_gpu_memory_gb", True),
        ("pretrain/step_s", True),
    ],
)  # fmt: skip
def test_which_way_is_better_is_known_by_the_name(metric, lower):
    assert TableSpec(metrics=(metric,)).prefers_lower(metric) == lower


def test_what_is_missing_says_why():
    why = {
        ("b", 0): "failed: out of memory", ("b", 1): "running",
        ("c", 0): "never started", ("c", 1): "never started", ("a", 1): "killed",
    }  # fmt: skip
    runs = table_runs({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 2.0]}, why=why)
    table = make_table(runs, MIOU, "t")
    assert cell(table, "a").missing == ""
    assert cell(table, "b").missing == "running"
    assert cell(table, "c").missing == "never started"
    assert {(run.name, run.seed): run.why for run in table.missing} == why


def grid(**kept: bool) -> TableRuns:
    """Return a row per rate and width, each setting a column as well."""
    points = itertools.product((0.5, 10.0, 2.0), ("small", "large"))
    settings = {f"{lr}, {width}": {"lr": str(lr), "width": width} for lr, width in points}
    scores = {
        row: [float(own["lr"]) + seed + (100 if own["width"] == "large" else 0) for seed in (0, 1)]
        for row, own in settings.items()
    }
    return table_runs(scores, settings)


def test_rows_and_columns_are_any_settings_numbers_by_size():
    table = make_table(grid(), TableSpec(by=("lr",), columns=("width",), metrics=("miou",)), "t")
    assert (table.rows, table.columns) == (("0.5", "2.0", "10.0"), ("small", "large"))
    assert cell(table, "2.0", "large").mean == pytest.approx(102.5)
    assert table.notes == ()


def test_a_cell_that_nobody_asked_for_says_so():
    runs = grid()
    left = TableRuns(tuple(run for run in runs.runs if run.row != "2.0, large"))
    table = make_table(left, TableSpec(by=("lr",), columns=("width",), metrics=("miou",)), "t")
    assert cell(table, "2.0", "large").missing == "no such trial"


def test_a_run_that_never_started_may_belong_to_any_cell_of_its_row():
    runs = table_runs(
        {"a": [1.0, 2.0], "b": [3.0, 4.0]},
        {"a": {"width": "small"}, "b": {"width": "large"}},
        {("b", 0): "never started", ("b", 1): "never started"},
    )
    spec = TableSpec(columns=("width",), metrics=("miou",))
    table = make_table(runs, spec, "t")
    assert table.columns == ("small",)
    assert cell(table, "b", "small").missing == "never started"


def test_runs_that_differ_in_more_than_the_table_shows_are_averaged_by_seed_and_told():
    table = make_table(grid(), TableSpec(by=("lr",), metrics=("miou",)), "t")
    found = cell(table, "0.5")
    assert (found.n, found.mean) == (2, pytest.approx(51.0))
    assert found.std == pytest.approx(statistics.stdev([50.5, 51.5]))
    (note,) = table.notes
    assert "differ in width" in note


def test_equal_settings_on_other_data_are_told():
    runs = table_runs({"a": [1.0], "b": [3.0]}, {"a": {"lr": "1"}, "b": {"lr": "1"}})
    table = make_table(runs, TableSpec(by=("lr",), metrics=("miou",)), "t")
    assert (cell(table, "1").mean, cell(table, "1").n) == (2.0, 1)
    assert "other data" in table.notes[0]


def test_rows_can_be_chosen_and_stay_in_order():
    spec = TableSpec(metrics=("miou",), rows=("OLIVINE", "random"))
    table = make_table(table_runs(SCORES), spec, "t")
    assert table.rows == ("random", "OLIVINE")
    assert cell(table, "random").rank == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("mious",)}, "No run has a metric 'mious'. Did you mean 'miou'"),
        ({"rows": ("PPKTT",)}, "No row 'PPKTT' in this table. Did you mean 'PPKT'"),
        ({"baseline": "OLIVIN"}, "No row 'OLIVIN' in this table. Did you mean 'OLIVINE'"),
        ({"baseline": "PPKT", "rows": ("random",)}, "No row 'PPKT' in this table"),
        ({"by": ("see",)}, "No run has a setting 'see'. Did you mean 'seed'"),
        ({"columns": ("widht",)}, "No run has a setting 'widht'"),
    ],
)
def test_what_there_is_not_is_told_with_the_nearest(changes, message):
    spec = TableSpec.from_dict({"metrics": ("miou",), **changes})
    with pytest.raises(UserError, match=message):
        make_table(table_runs(SCORES), spec, "t")


def test_nothing_finished_is_told():
    why = {("a", 0): "running"}
    for runs in (TableRuns(()), table_runs({"a": [1.0]}, why=why)):
        with pytest.raises(UserError, match="No trial of this table has finished"):
            make_table(runs, MIOU, "t")


def test_a_cell_is_of_one_evaluation_protocol():
    scores = {"PPKT": [1.0, 2.0], "PPKT, 1 %": [3.0, 4.0]}
    settings = {
        "PPKT": {"protocol": "linear_probe"},
        "PPKT, 1 %": {"protocol": "finetune", "train.scene_step": "100"},
    }
    runs = table_runs(scores, settings)
    spec = TableSpec(by=("method",), metrics=("miou",))
    with pytest.raises(UserError, match="would average 2 evaluations: 1 %, linear probe") as error:
        make_table(runs, spec, "t")
    assert "--columns evaluation" in str(error.value)
    columns = make_table(runs, spec.model_copy(update={"columns": ("evaluation",)}), "t")
    assert columns.columns == ("linear probe", "1 %")
    unfinished = {("PPKT, 1 %", seed): "failed" for seed in (0, 1)}
    assert make_table(table_runs(scores, settings, unfinished), spec, "t").rows == ("PPKT",)
