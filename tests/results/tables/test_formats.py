"""One table in four formats: none says more than another, and each is read by what reads it."""

import io
import re
import shutil
import subprocess

import pandas as pd
import pytest

from olivine.cli.output import write_layout
from olivine.results.tables.cells import make_table
from olivine.results.tables.formats import CSV_COLUMNS, LATEX_PACKAGES, csv, latex, markdown
from olivine.results.tables.formats import html as html_page
from olivine.results.tables.latex_text import escape_latex
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.text import lay_out
from tests.support.html_reader import HtmlReader
from tests.support.run_stores.table_runs import reader, table_runs

AWKWARD = r"a|b <i> & 50 % $x_1$ {y} #~^\ τ=0.07 “é” *"
SCORES = {
    "random": [8.0, 9.0, 7.0],
    AWKWARD: [30.0, 32.0, 34.0],
    "OLIVINE": [40.0, 41.0, 45.0],
    "gone": [0.0],
}


@pytest.fixture(scope="module")
def table():
    spec = TableSpec(metrics=("miou", "loss"), baseline=AWKWARD, published="components")
    runs = table_runs(SCORES, why={("gone", 0): "failed: <disk> 100 % full & a_b"})
    return make_table(runs, spec, "Sweep small_1", reader({"OLIVINE": 0.6, AWKWARD: 0.5}))


def test_markdown_marks_the_best_and_lines_up(table):
    text = markdown(lay_out(table))
    assert text.startswith("# Sweep small_1\n\nMean ± standard deviation over n seeds")
    assert r"| **42.00 ± 2.65\***" in text
    assert "| <ins>32.00 ± 2.00</ins>" in text
    assert re.search(r"\| gone +\| failed +\| failed +\| 0", text)
    assert "- `gone`, seed 0: failed: &lt;disk> 100 % full & a_b" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert r"a\|b &lt;i>" in text
    scores = lines[: 2 + len(SCORES)]
    assert len({len(line) for line in scores}) == 1
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in scores}) == 1


def test_html_shows_every_text_of_the_layout_and_closes_what_it_opens(table):
    layout = lay_out(table)
    page = html_page(layout)
    shown = HtmlReader(page)
    for grid, found in zip((layout.scores, layout.differences), shown.tables, strict=True):
        assert found == [list(grid.header), *([t.text for t in line] for line in grid.lines)]
    assert shown.marked["best"] == ["0.0080 ± 0.0010*", "42.00 ± 2.65*"]
    assert shown.marked["second"] == ["32.00 ± 2.00", "0.0320 ± 0.0020"]
    assert shown.marked["missing"] == ["failed", "failed"]
    remarks = (*layout.remarks, *layout.difference_remarks, *layout.sources, *layout.missing)
    assert len(remarks) > 6
    for sentence in remarks:
        assert sentence.replace("`", "") in shown.text
    assert "<script" not in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "[x]", "{a}", "{{7*7}}", "{% x %}"])
def test_a_hostile_name_of_row_or_column_is_shown_and_never_obeyed(name):
    runs = table_runs(
        {name: [1.0, 2.0, 4.0], "b": [1.5, 2.0, 3.0]}, {name: {"x": name}, "b": {"x": "1"}}
    )
    table = make_table(
        runs, TableSpec(columns=("x",), metrics=("miou", "loss"), baseline=name), name
    )
    layout = lay_out(table)
    page = HtmlReader(html_page(layout))
    assert page.tables[0][1][0] == name
    assert f"{name}: mIoU (%)" in page.tables[0][0]
    assert page.tags.count("script") == 0
    assert f"{escape_latex(name)}: mIoU (\\%)" in latex(layout)
    assert "<script" not in re.sub("`[^`]*`", "", markdown(layout)), "code is shown as it is"


def test_csv_has_a_line_per_cell_and_numbers_in_full(table):
    read = pd.read_csv(io.StringIO(csv(table)))
    assert tuple(read.columns) == CSV_COLUMNS
    assert tuple(read.columns[:5]) == ("method", "metric", "mean", "std", "n")
    assert len(read) == len(table.cells)
    line = read[(read["method"] == "OLIVINE") & (read["metric"] == "miou")].iloc[0]
    compared = table.cell("OLIVINE", "", "miou").compared
    assert line["mean"] == 42.0
    assert line["p_corrected"] == pytest.approx(compared.p_corrected)
    assert (line["test"], line["correction"]) == ("pooled", "dunnett")
    assert (line["verdict"], line["num_in_family"]) == (compared.verdict, 2)
    assert line["family"] == f"2 rows against {AWKWARD}, of one column and metric"
    assert line["smallest_difference"] == pytest.approx(compared.smallest)
    assert (line["scenes_low"], line["scenes_high"]) == pytest.approx(compared.scenes)
    assert (line["published"], line["published_how"]) == (47.3, "printed")
    assert read.set_index("method").loc["gone", "missing"].str.startswith("failed: <disk>").all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 %", r"a\_b \& 50 \%"),
        ("-1.5 to -2, well-known", "$-$1.5 to $-$2, well-known"),
        ("`class.weight` ± 1", r"\texttt{class.weight} $\pm$ 1"),
        ("one ` alone", "one ` alone"),
        ("τ ≈ 0.07…", r"$\tau$ $\approx$ 0.07\dots{}"),
        ("点", "[U+70B9]"),
        ("\\~^{", r"$\backslash$\textasciitilde{}\textasciicircum{}$\{$"),
    ],
)
def test_latex_escapes_what_it_would_take_as_its_own(text, expected):
    assert escape_latex(text) == expected


def test_latex_is_ruled_by_booktabs_and_marks_the_best(table):
    text = latex(lay_out(table))
    for word in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(word) == 2
    assert r"\textbf{42.00 $\pm$ 2.65$^{*}$}" in text
    assert r"\underline{32.00 $\pm$ 2.00}" in text
    assert r"\emph{failed}" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles_without_a_warning(table, tmp_path):
    (tmp_path / "ablation.tex").write_text(latex(lay_out(table)))
    first = table_runs(
        {"[a": [1.0, 2.0], "{b": [2.0, 3.0]}, {"[a": {"[x": "[1"}, "{b": {"[x": "{2"}}
    )
    awkward = make_table(first, TableSpec(by=("[x",), metrics=("miou",)), "[y")
    (tmp_path / "awkward.tex").write_text(latex(lay_out(awkward)))
    document = (
        rf"\documentclass{{article}}\usepackage{{{','.join(LATEX_PACKAGES)}}}"
        r"\begin{document}\input{ablation}\input{awkward}\end{document}"
    )
    (tmp_path / "document.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    complaints = re.findall(
        r"(?i).*(?:warning|overfull|underfull|missing character).*", done.stdout
    )
    assert complaints == []


LEAK = "train has 2 of the 2 scenes of val (scene-0103, scene-0916)"


def test_a_score_on_scenes_that_trained_is_marked_in_every_format(monkeypatch, capsys):
    """Also its difference, and that of a fair row to a baseline that is none."""
    rows = {"fair": [40.0, 41.0, 43.0], "leak": [50.0, 52.0, 55.0], "base": [30.0, 31.0, 33.0]}
    runs = table_runs(rows, overlaps={"leak": LEAK})
    table = make_table(runs, TableSpec(metrics=("miou",), baseline="base"), "t")
    layout = lay_out(table)
    remark = f"`leak`: {LEAK}."
    assert [line[1].text.count("‡") for line in layout.scores.lines] == [0, 1, 0]
    assert [line[1].text.count("‡") for line in layout.differences.lines] == [0, 1]
    assert next(one for one in layout.remarks if "‡" in one).endswith(remark)
    text = markdown(layout)
    assert text.count("±") == 4
    assert text.count("‡") == 3  # the score, the difference, the remark
    assert remark in text
    assert latex(layout).count(r"$^{\ddagger}$") == 3
    shown = HtmlReader(html_page(layout))
    assert [line[1][-1] for line in shown.tables[0][1:]].count("‡") == 1
    assert LEAK in shown.text
    frame = pd.read_csv(io.StringIO(csv(table)))
    assert frame["overlap"].fillna("").tolist() == ["", LEAK, ""]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    write_layout(layout)
    assert capsys.readouterr().out.count("‡") == 3
    other = make_table(runs, TableSpec(metrics=("miou",), baseline="leak"), "t")
    assert [line[1].text[-1] for line in lay_out(other).differences.lines] == ["‡", "‡"]


def test_a_run_without_a_result_marks_nothing():
    runs = table_runs({"a": [1.0, 2.0]}, why={("a", 1): "failed"}, overlaps={"a": LEAK})
    cells = make_table(runs, TableSpec(metrics=("miou",)), "t").cells.values()
    assert [cell.overlap for cell in cells] == [LEAK]
    gone = {("a", 0): "failed"}
    runs = table_runs({"a": [1.0], "b": [1.0]}, why=gone, overlaps={"a": LEAK})
    cells = make_table(runs, TableSpec(metrics=("miou",)), "t").cells.values()
    assert [cell.overlap for cell in cells] == ["", ""]
