"""The page of a report as people open it: alone, on a phone, in the dark, in a real browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from olivine.core.runtime import Runtime
from olivine.results.sweep_report.page import render, write_page
from olivine.results.sweep_report.read import read_report
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support.filled_store import write_ablation, write_search

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here; Debian's: apt-get install chromium"
)
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
        found[name] = write_page(folder / f"{name}.html", report)
        assert render(report) == found[name].read_text(), "one store, one page"
    return found


class Reader(HTMLParser):
    """Collects what a page holds; fails at a tag that closes another."""

    VOID = ("meta", "br", "wbr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._take(dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._take(dict(attrs))

    def _take(self, values: dict[str, str | None]) -> None:
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[n] or "" for n in ("href", "xlink:href", "src") if n in values]
        self.labels += [values["aria-label"] or ""] if "aria-label" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return reader


@pytest.mark.parametrize("name", ["ablation", "search", "begun"])
def test_the_page_needs_no_other_file(pages: dict[str, Path], name: str) -> None:
    page, text = read(pages[name]), pages[name].read_text()
    assert {"script", "img", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    addresses = re.findall(r"https?://[^\s\"'<]*", text)
    assert set(addresses) <= {"http://www.w3.org/1999/xlink"}, "a name, not an address"
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(text) < 1_000_000


def test_every_figure_has_words_for_those_who_cannot_see_it(pages: dict[str, Path]) -> None:
    for name, num_figures in (("ablation", 5), ("search", 7), ("begun", 2)):
        page = read(pages[name])
        assert page.tags.count("svg") == len(page.labels) == num_figures, name
        assert all(len(label) > 30 for label in page.labels)


def test_the_page_of_an_ablation_says_what_was_found(pages: dict[str, Path]) -> None:
    page, text = read(pages["ablation"]), pages["ablation"].read_text()
    assert "Which of them <matters>?" in page.text
    assert "4 of 6" in page.text
    assert "ValueError: <script>alert(1)</script> & more" in page.text, "shown, not obeyed"
    assert re.search(r"20\.50 ± 0\.71", page.text)
    assert "for seed in 0 1; do" in page.text
    assert "52a846625b9acfd991737989f6ae99b340c007c5" in page.text
    assert "too few to tell which of 2 settings matters" in page.text
    assert text.index("2 of 6 trials have no result") < text.index("<section")


def test_the_page_of_a_search_says_what_was_found(pages: dict[str, Path]) -> None:
    page = read(pages["search"])
    assert "96 of 120" in page.text
    assert "12 points were given up by the search" in page.text
    assert re.search(r"12 failed.*CUDA out of memory", page.text, re.DOTALL)
    assert "predicts them with R² 0." in page.text.replace("It ", "")
    assert page.text.count("olivine evaluate") == 120


def test_the_page_of_a_sweep_that_has_only_begun(pages: dict[str, Path]) -> None:
    page = read(pages["begun"])
    assert "No trial has finished yet" in page.text
    assert "0 of 6" in page.text
    assert "Learning curves" in page.text
    assert "Score against cost" not in page.text


def test_figures_take_the_pages_colours(pages: dict[str, Path]) -> None:
    text = pages["search"].read_text()
    assert "var(--ink)" in text
    assert "prefers-color-scheme:dark" in text
    svg = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.search(r"#0[0-4]0[0-4]0[0-4]|#000000|#ffffff", svg)
    assert "DejaVu" not in svg


PROBE = """
<!DOCTYPE html><html><body><iframe id="page" width="{width}" height="900"
srcdoc="{page}"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const shown = frame.contentDocument, root = shown.documentElement;
  for (const one of shown.querySelectorAll("details")) one.open = true;
  const wide = [...shown.body.querySelectorAll("*")].filter(one =>
    !one.closest(".wide, pre, svg") && one.getBoundingClientRect().right > root.clientWidth + 1);
  const figures = [...shown.querySelectorAll("svg")].map(one => one.getBoundingClientRect().width);
  const texts = [...shown.querySelectorAll("svg text")].map(one =>
    parseFloat(getComputedStyle(one).fontSize) *
    Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b));
  document.getElementById("found").textContent = JSON.stringify({{
    inside: root.clientWidth, needed: root.scrollWidth, wide: wide.map(one => one.outerHTML),
    narrowest: Math.min(...figures), smallest: Math.min(...texts)}});
}};
</script></body></html>
"""


@needs_browser
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("name", ["ablation", "search", "begun"])
def test_a_browser_shows_it_whole(
    pages: dict[str, Path], tmp_path: Path, name: str, width: int
) -> None:
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(width=width, page=html.escape(pages[name].read_text())))
    answer = subprocess.run(
        [
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
            f"file://{probe}",
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "CONSOLE" not in answer.stderr, answer.stderr
    written = re.search(r'<pre id="found">(.+?)</pre>', answer.stdout)
    assert written, "the page was never loaded"
    found = json.loads(html.unescape(written[1]))
    assert found["wide"] == []
    assert found["needed"] <= found["inside"] <= width
    assert found["narrowest"] > 0.85 * min(width, 360)
    assert found["smallest"] >= 7.5, "pixels of the smallest letters of a figure"
