"""Every format tells the family of comparisons and the smallest difference that they could find."""

import re

import pytest

from olivine.results.tables.cells import make_table
from olivine.results.tables.formats import csv, html, latex, long_format, markdown
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.text import lay_out
from tests.support.run_stores.table_runs import table_runs

SCORES = {
    "random": [8.0, 9.0, 7.0], "PPKT": [30.1, 32.0, 34.0], "SLidR": [31.0, 32.0, 34.5],
    "OLIVINE": [40.0, 41.0, 45.0],
}  # fmt: skip


def table_of(scores=SCORES, **fields):
    spec = TableSpec(**{"metrics": ("miou",), "test": "pooled", **fields})
    return make_table(table_runs(scores), spec, "Sweep small")


@pytest.mark.parametrize("baseline", ["PPKT", ""])
def test_every_format_tells_the_family_and_what_it_could_find(baseline):
    table = table_of(baseline=baseline)
    layout, (family,) = lay_out(table), table.families
    size = f"{family.smallest:.2f}"
    family_words = "3 comparisons" if baseline else "the family of comparisons is empty"
    page = re.sub(r"<[^>]*>", " ", html(layout))
    for text in (markdown(layout), latex(layout), page, " ".join(_terminal(layout))):
        told = " ".join(text.split())
        assert family_words in told
        assert f"{size} pp (n = 3)" in told
        assert "with power 0.8" in told
    lines = long_format(table)
    assert lines["smallest_difference"].round(9).tolist() == [round(family.smallest, 9)] * 4
    assert set(lines["family"]) == {
        "3 rows against PPKT, of one column and metric" if baseline else "none: no baseline"
    }
    assert "smallest_difference" in csv(table)


def _terminal(layout):
    return (*layout.remarks, *layout.difference_remarks)


def test_the_smallest_difference_of_each_row_is_in_its_line():
    table = table_of({**SCORES, "SLidR": [*SCORES["SLidR"], 33.0]}, baseline="PPKT")
    grid = lay_out(table).differences
    place = grid.header.index("smallest with power 0.8 (pp)")
    assert grid.header[3] == "p (Holm)"  # the cell of the fourth seed has no partner
    shown = [line[place].text for line in grid.lines]
    assert shown == [
        f"{table.cell(row, '', 'miou').compared.smallest:.2f}"
        for row in ("random", "SLidR", "OLIVINE")
    ]


def test_a_fallback_to_the_paired_test_is_told_with_its_reason():
    scores = {**SCORES, "SLidR": [31.0, 60.0, 2.0], "Seal": [1.0, 2.0, 2.5]}
    table = table_of(scores, baseline="PPKT", test="auto")
    (family,) = table.families
    assert family.test == "t"
    remark = next(text for text in lay_out(table).difference_remarks if "stands in" in text)
    assert family.why_paired in remark
    assert "Cochran" in remark
    assert lay_out(table).differences.header[2:4] == ("verdict", "p (Holm)")


def test_families_are_one_per_column_and_metric():
    table = table_of(metrics=("miou", "accuracy", "loss"), baseline="PPKT")
    assert len(table.families) == 3
    remarks = " ".join(lay_out(table).difference_remarks)
    assert "Nothing is corrected over the 3 families." in remarks
    assert re.search(r"mIoU: [\d.]+ pp \(n = 3\); accuracy: [\d.]+ pp", remarks)


def test_nothing_tested_could_find_an_unknown_difference():
    same = {name: [5.0, 5.0, 5.0] for name in SCORES}
    for scores in (same, {name: values[:1] for name, values in SCORES.items()}):
        table = table_of(scores, baseline="PPKT", test="auto")
        assert "could be found is unknown" in " ".join(lay_out(table).difference_remarks)
        assert "What a comparison could find is unknown" in " ".join(
            lay_out(table_of(scores)).remarks
        )
    few = table_of({**SCORES, "PPKT": [30.0]}, baseline="PPKT", test="auto")
    verdicts = {cell.compared.verdict for cell in few.cells.values() if cell.compared}
    assert verdicts == {"too few seeds (n=1)"}
