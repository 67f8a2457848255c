import math
from dataclasses import replace

import pytest

from olivine.results.tables.cells import make_table
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.table import MissingRun, num_decimals
from olivine.results.tables.text import NUM_MISSING_SHOWN, lay_out
from tests.support.run_stores.table_runs import reader, table_runs

SCORES = {"random": [8.0, 9.0, 7.0], "PPKT": [30.0, 32.0, 34.0], "OLIVINE": [40.0, 41.0, 45.0]}


def laid_out(spec, scores=SCORES, **settings):
    return lay_out(make_table(table_runs(scores, **settings), spec, "Sweep small"))


def texts(line):
    return [text.text for text in line]


def test_a_line_has_its_means_and_their_spread():
    layout = laid_out(TableSpec(metrics=("miou", "loss")))
    assert layout.scores.header == ("method", "mIoU (%)", "loss", "n")
    assert [texts(line) for line in layout.scores.lines] == [
        ["random", "8.00 ± 1.00", "0.0080 ± 0.0010", "3"],
        ["PPKT", "32.00 ± 2.00", "0.0320 ± 0.0020", "3"],
        ["OLIVINE", "42.00 ± 2.65", "0.0420 ± 0.0026", "3"],
    ]
    marks = [[(t.is_best, t.is_second) for t in line[1:3]] for line in layout.scores.lines]
    assert marks == [
        [(False, False), (True, False)], [(False, True), (False, True)],
        [(True, False), (False, False)],
    ]  # fmt: skip
    assert "Lower is better for loss." in layout.remarks
    assert layout.differences is None


def test_a_cell_without_a_number_says_why_and_the_list_has_all_of_it():
    reason = "failed: CUDA out of memory. Tried to allocate 20.00 GiB"
    layout = laid_out(
        TableSpec(metrics=("miou",)),
        {"a": [1.0], "b": [1.0], "c": [1.0, 2.0]},
        why={("b", 0): reason, ("c", 0): "running"},
    )
    missing = layout.scores.lines[1][1]
    assert missing.is_missing
    assert missing.text == "failed"
    assert texts(layout.scores.lines[2])[1:] == ["2.00 ± –", "1"]
    assert layout.missing == (f"`b`, seed 0: {reason}", "`c`, seed 0: running")


def test_numbers_in_print_stand_beside_with_their_sources_and_in_no_mean():
    spec = TableSpec(metrics=("miou",), published="components", baseline="PPKT")
    layout = laid_out(spec)
    assert layout.scores.header == ("method", "mIoU (%)", "n", "mIoU (%), published")
    assert [texts(line)[1:] for line in layout.scores.lines] == [
        ["8.00 ± 1.00*", "3", "8.1"], ["32.00 ± 2.00", "3", "≈ 36.9"],
        ["42.00 ± 2.65*", "3", "47.3"],
    ]  # fmt: skip
    assert any(line.startswith("`PPKT`, mIoU: 36.9, derived; ") for line in layout.sources)
    assert layout.differences.header[-1] == "published (pp)"
    assert layout.differences.lines[1][-1].text == "+10.43"
    assert any(line.startswith("`OLIVINE`, mIoU, difference: 10.43") for line in layout.sources)


def test_differences_have_their_tests_and_intervals():
    spec = TableSpec(metrics=("miou",), baseline="PPKT")
    table = make_table(table_runs(SCORES), spec, "t", reader(dict.fromkeys(SCORES, 0.5)))
    grid = lay_out(table).differences
    lines = [dict(zip(grid.header, texts(line), strict=True)) for line in grid.lines]
    assert [line["method"] for line in lines] == ["random", "OLIVINE"]
    seeds = table.cell("OLIVINE", "", "miou").compared.seeds
    assert lines[1]["difference (pp)"] == "+10.00"
    assert lines[1]["95 % over seeds (pp)"] == f"[{seeds.low:+.2f}, {seeds.high:+.2f}]"
    assert lines[1]["95 % over scenes (pp)"] == "[+0.00, +0.00]"
    assert lines[1]["n"] == "3"
    assert lines[1]["p"] == f"{seeds.p:.3f}"
    assert grid.text_columns == {0, 2}
    assert "pp: percentage points." in lay_out(table).difference_remarks


def test_columns_of_settings_head_their_metrics():
    settings = {"a": {"width": "1"}, "b": {"width": "2"}}
    spec = TableSpec(by=("method",), columns=("width",), metrics=("miou", "accuracy"))
    layout = laid_out(spec, {"a": [1.0], "b": [2.0]}, settings=settings)
    header = (
        "method", "1: mIoU (%)", "1: accuracy (%)", "2: mIoU (%)", "2: accuracy (%)", "n",
    )  # fmt: skip
    assert layout.scores.header == header
    assert texts(layout.scores.lines[0])[3] == "no such trial"
    assert "Columns: width." in layout.remarks


def test_columns_of_one_metric_are_told_what_they_are_of():
    settings = {"a": {"width": "1"}, "b": {"width": "2"}}
    spec = TableSpec(by=("method",), columns=("width",), metrics=("miou",))
    layout = laid_out(spec, {"a": [1.0], "b": [2.0]}, settings=settings)
    assert layout.scores.header == ("mIoU (%) by method", "1", "2", "n")


def test_differences_of_several_units_have_each_its_own():
    table = make_table(
        table_runs(SCORES), TableSpec(metrics=("miou", "loss"), baseline="PPKT"), "t"
    )
    grid = lay_out(table).differences
    assert grid.header[:3] == ("method", "metric", "difference")
    assert [texts(line)[1] for line in grid.lines] == ["mIoU (pp)", "loss"] * 2
    same = TableSpec(metrics=("miou", "accuracy"), baseline="PPKT")
    grid = lay_out(make_table(table_runs(SCORES), same, "t")).differences
    assert grid.header[2] == "difference (pp)"
    assert [texts(line)[1] for line in grid.lines] == ["mIoU", "accuracy"] * 2


def test_a_long_setting_is_headed_by_its_end_and_told_whole():
    settings = {"a": {"pretrained.method.terms.class.weight": "0.5"}}
    name = "pretrained.method.terms.class.weight"
    layout = laid_out(TableSpec(by=(name,), metrics=("miou",)), {"a": [1.0]}, settings=settings)
    assert layout.scores.header[0] == "class.weight"
    assert f"Rows: {name}." in layout.remarks


def test_thousands_of_missing_runs_are_counted():
    table = make_table(table_runs(SCORES), TableSpec(metrics=("miou",)), "t")
    many = tuple(MissingRun("a", seed, "running") for seed in range(NUM_MISSING_SHOWN + 7))
    assert lay_out(replace(table, missing=many)).missing[-1] == "and 7 more"


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([45.1, 0.2], 2), ([0.5], 2), ([0.05, 0.01], 4), ([-0.003], 5), ([0.0], 2), ([math.nan], 2),
     ([1e-12], 8)],
)  # fmt: skip
def test_small_numbers_keep_three_digits(values, decimals):
    assert num_decimals(values) == decimals
