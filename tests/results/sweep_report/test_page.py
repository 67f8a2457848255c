"""The page of a report as a file: alone, whole, and with nothing that a person typed as markup."""

import re
from pathlib import Path

import plotly.offline
import pytest

from olivine.core.runtime import Runtime
from olivine.results.sweep_report.page import sweep_page_html, write_sweep_page
from olivine.results.sweep_report.read import read_report
from olivine.results.tables.frame import long_frame, wide_frame
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support.html_reader import HtmlReader
from tests.support.run_stores.filled_store import ablation_sweep, write_ablation, write_search

FATES = {"OLIVINE, seed 1": "ValueError: <script>alert(1)</script> & more", "+ vMF, seed 1": ""}
RUNNING = {f"{row}, seed {n}": "" for row in ("random", "+ vMF", "OLIVINE") for n in (0, 1)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the pages of an ablation, a search of 120 points and a sweep that has only begun."""
    found = {}
    for name in ("ablation", "search", "begun"):
        folder = tmp_path_factory.mktemp(name)
        if name == "search":
            write_search(folder)
        else:
            write_ablation(folder, FATES if name == "ablation" else RUNNING)
        runtime = Runtime(out=str(folder))
        tracker = MlflowTracker(runtime.store_uri())
        report = read_report("wide" if name == "search" else "small", runtime, tracker)
        found[name] = write_sweep_page(folder / f"{name}.html", report)
        assert sweep_page_html(report) == found[name].read_text(), "one store, one page"
    return found


def read(path: Path) -> HtmlReader:
    """Return a page without plotly's script, which is three quarters of a minute to read."""
    text = path.read_text()
    script = plotly.offline.get_plotlyjs()
    assert text.count(script) == 1
    return HtmlReader(text.replace(script, ""))


@pytest.mark.parametrize("name", ["ablation", "search", "begun"])
def test_the_page_needs_no_other_file(pages: dict[str, Path], name: str) -> None:
    page, text = read(pages[name]), pages[name].read_text()
    assert {"img", "link", "iframe", "object"}.isdisjoint(page.tags)
    links, ids = page.values("href", "src"), page.values("id")
    assert all(link.startswith("#") for link in links)
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(set(ids)) == len(ids)
    ours = text.replace(plotly.offline.get_plotlyjs(), "")
    assert not re.search(r"https?://|@import|url\(", ours)
    assert len(ours) < 500_000
    assert len(text) < 6_000_000


@pytest.mark.parametrize("name", ["ablation", "search", "begun"])
def test_no_script_holds_what_a_person_typed_but_as_data(pages: dict[str, Path], name: str) -> None:
    page = read(pages[name])
    drawn = [script for script in page.scripts if "Plotly.newPlot" in script]
    plotlys, ours = page.scripts[0], page.scripts[-1]
    assert len(page.scripts) == len(drawn) + 2
    assert plotlys == "", "taken out above"
    assert "prefers-color-scheme" in ours
    assert len(drawn) == page.values("class").count("plotly-graph-div")


@pytest.mark.parametrize(("name", "num_charts"), [("ablation", 5), ("search", 7), ("begun", 2)])
def test_every_chart_has_words_for_those_who_cannot_see_it(
    pages: dict[str, Path], name: str, num_charts: int
) -> None:
    page = read(pages[name])
    labels = [one["aria-label"] for _, one in page.attributes if one.get("class") == "chart"]
    assert len(labels) == num_charts
    assert all(len(label) > 30 for label in labels)


def test_the_page_of_an_ablation_says_what_was_found(pages: dict[str, Path]) -> None:
    page, text = read(pages["ablation"]), pages["ablation"].read_text()
    assert "Which of them <matters>?" in page.text
    assert "4 of 6" in page.text
    assert "ValueError: <script>alert(1)</script> & more" in page.text, "shown, not obeyed"
    assert ["method", "mIoU (%)", "accuracy (%)", "n"] in page.tables[0]
    assert ["random", "20.50 ± 0.71", "41.00 ± 1.41", "2"] in page.tables[0]
    assert ["best for the cost", "mIoU (%)", "device time (min)"] in page.tables[1]
    assert ["OLIVINE", "30.00", "60.00"] in page.tables[1], "decimals of a column are equal"
    assert "for seed in 0 1; do" in page.text
    assert "52a846625b9acfd991737989f6ae99b340c007c5" in page.text
    assert "too few to decide which of 2 settings matters" in page.text
    assert text.index("2 of 6 trials have no result") < text.index("<section")


def test_the_page_of_a_search_says_what_was_found(pages: dict[str, Path]) -> None:
    page = read(pages["search"])
    assert "96 of 120" in page.text
    assert "12 points were given up by the search" in page.text
    assert re.search(r"12 failed.*CUDA out of memory", page.text, re.DOTALL)
    assert re.search(r"predicts unseen points with R²\s0\.", page.text)
    assert page.text.count("olivine evaluate") == 120


def test_the_page_of_a_sweep_that_has_only_begun(pages: dict[str, Path]) -> None:
    page = read(pages["begun"])
    assert "No trial has finished yet" in page.text
    assert "0 of 6" in page.text
    assert "Learning curves" in page.text
    assert "Score against cost" not in page.text


def test_a_row_has_one_colour_in_the_legend_and_in_every_chart(pages: dict[str, Path]) -> None:
    page, text = read(pages["ablation"]), pages["ablation"].read_text()
    colours = [one["stroke"] for tag, one in page.attributes if tag == "line"]
    names = page.values("data-name")
    assert names == ["random", "+ vMF", "OLIVINE"] * 2, "beside cost and beside curves"
    assert colours[:3] == colours[3:]
    for name, colour in zip(names, colours, strict=True):
        traces = re.findall(
            rf'"(?:color)":"(#\w+)"[^{{}}]*}}[^{{}}]*"name":"{re.escape(name)}"', text
        )
        assert set(traces) <= {colour}


def test_a_score_on_scenes_that_trained_is_marked(tmp_path: Path) -> None:
    """The tables of an ablation and of a search, and the frame, by what their runs recorded."""
    leak = {"train.split": "mini_val"}
    rows = {"fair": {}, "leak": leak}
    sweep = ablation_sweep().model_copy(update={"rows": rows})
    write_ablation(tmp_path, sweep=sweep)
    runtime = Runtime(out=str(tmp_path))
    tracker = MlflowTracker(runtime.store_uri())
    report = read_report("small", runtime, tracker)
    said = "train has scenes of val, by its settings"
    assert report.overlaps == {"leak": said}
    page = HtmlReader(sweep_page_html(report).replace(plotly.offline.get_plotlyjs(), ""))
    scores = {line[0]: line[1] for line in page.tables[0][1:]}
    assert [scores[row].endswith("‡") for row in ("fair", "leak")] == [False, True]
    assert page.text.count(f"leak: {said}") == 2  # before all numbers, and below the table
    marked = [text for table in page.tables for line in table for text in line if "‡" in text]
    assert len(marked) > 2  # every table that has its scores
    long = long_frame("small", runtime, tracker)
    assert dict(zip(long["method"], long["overlap"], strict=True)) == {"fair": "", "leak": said}
    assert wide_frame("small", runtime, tracker).attrs["overlap"] == {"leak": said}
