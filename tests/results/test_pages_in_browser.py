"""Every page as people open it, in a real browser: on a phone, on a desk, light and dark.

Nothing may be cut, overlap the page's edge, fail or ask the network; and what a person typed, as a
row of a sweep or the reason of a failure, is shown and never obeyed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from olivine.cli import main as cli
from olivine.core.runtime import Runtime
from olivine.results.sweep_report.page import write_sweep_page
from olivine.results.sweep_report.read import read_report
from olivine.results.tables.write import write_results
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support.browser import Browser, Page, needs_browser, open_browser, open_page
from tests.support.run_stores.filled_store import ablation_sweep, write_ablation, write_search

pytestmark = [needs_browser, pytest.mark.slow]

HOSTILE = (
    "<img src=x onerror=\"window.obeyed='row'\"></script><script>window.obeyed=1</script>{{7*7}}"
)
PAGES = ("ablation", "search", "begun", "table", "labels")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, tiny_world: Path) -> dict[str, Path]:
    """Return a page of every kind; the ablation's rows are as hostile as they can be."""
    found = {}
    sweep = ablation_sweep()
    weight = "pretrained.method.terms.class.weight"
    rows = {HOSTILE: {weight: 0.1}, "javascript:window.obeyed=2": {weight: 0.2}, **sweep.rows}
    hostile = sweep.model_copy(update={"rows": rows, "question": f"{HOSTILE}\n\n{HOSTILE}"})
    fates = {"OLIVINE, seed 1": HOSTILE}
    for name in ("ablation", "search", "begun"):
        folder = tmp_path_factory.mktemp(name)
        if name == "search":
            write_search(folder)
        else:
            running = {f"{row}, seed {seed}": "" for row in rows for seed in (0, 1)}
            write_ablation(folder, fates if name == "ablation" else running, hostile)
        runtime = Runtime(out=str(folder))
        tracker = MlflowTracker(runtime.store_uri())
        report = read_report("wide" if name == "search" else "small", runtime, tracker)
        found[name] = write_sweep_page(folder / f"{name}.html", report)
        if name == "ablation":
            write_results("small", runtime, tracker, folder / "table", formats=["html"])
            found["table"] = folder / "table" / "ablation.html"
    out = tmp_path_factory.mktemp("labels")
    words = [
        f"--set=runtime.data_root={tiny_world}", f"--set=runtime.out={out}",
        f"--set=runtime.cache_dir={out / 'cache'}", "--set=runtime.launcher=process",
        "--set=pretrained.data.split=mini_val", "--set=pretrained.data.cameras=[CAM_FRONT]",
    ]  # fmt: skip
    assert cli.main(["label", "demo", *words]) == 0
    assert cli.main(["label", "report", "demo", f"--folder={out / 'report'}", *words]) == 0
    return found | {"labels": out / "report" / "index.html"}


# What is wider than the page, and texts of charts that are cut, small or hard to read.
PROBE = """
(async () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  await new Promise((done) => setTimeout(done, 300));
  const root = document.documentElement, shown = (one) => one.outerHTML.slice(0, 200);
  const wide = [...document.body.querySelectorAll("*")].filter((one) =>
    !one.closest(".wide, pre, svg, script, noscript")
    && one.getBoundingClientRect().right > root.clientWidth + 1);
  const cut = [...document.body.querySelectorAll("*")].filter((one) =>
    !one.closest(".chart") && getComputedStyle(one).overflowX === "hidden"
    && one.scrollWidth > one.clientWidth + 1);
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const paper = getComputedStyle(document.body).backgroundColor;
  const texts = [...document.querySelectorAll(".chart svg text")].filter((one) =>
    one.textContent.trim() && one.getBoundingClientRect().width);
  const outside = texts.filter((one) => {
    const box = one.getBoundingClientRect();
    const chart = one.closest(".chart").getBoundingClientRect();
    return box.left < chart.left - 1 || box.right > chart.right + 1
      || box.top < chart.top - 1 || box.bottom > chart.bottom + 1;
  });
  const charts = [...document.querySelectorAll(".chart")];
  return {
    inside: root.clientWidth, needed: root.scrollWidth,
    wide: wide.map(shown), cut: cut.map(shown), outside: outside.map(shown),
    smallest: Math.min(99, ...texts.map((one) => parseFloat(getComputedStyle(one).fontSize))),
    ink: contrast(getComputedStyle(document.body).color, paper),
    palest: Math.min(21, ...texts.map((one) => contrast(getComputedStyle(one).fill, paper))),
    blank: charts.filter((one) => !one.querySelector(".main-svg")).length,
    withoutWebgl: document.querySelectorAll(".no-webgl").length,
    misfits: charts.filter((one) => Math.abs(one.clientWidth
      - one.querySelector(".svg-container").clientWidth) > 2).length,
    dark: light(paper) < 0.1,
    obeyed: window.obeyed ?? null,
  };
})()
"""


def sound(page: Page, width_px: int) -> dict[str, Any]:
    """Return what the probe saw of a page, after asking what holds of every page."""
    seen: dict[str, Any] = page.run(PROBE)
    assert page.complaints() == []
    assert page.requests() == [], "a page needs nothing but itself"
    assert seen["needed"] <= seen["inside"] <= width_px
    for what in ("wide", "cut", "outside"):
        assert seen[what] == [], what
    assert (seen["blank"], seen["withoutWebgl"], seen["misfits"]) == (0, 0, 0)
    assert seen["smallest"] >= 9, "pixels of the smallest letters of a chart"
    assert seen["ink"] > 7
    assert seen["palest"] > 4.5
    assert seen["obeyed"] is None
    return seen


@pytest.mark.parametrize(("width_px", "dark"), [(390, False), (1280, True)])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_shown_whole(
    browser: Browser, pages: dict[str, Path], name: str, width_px: int, dark: bool
) -> None:
    page = open_page(browser, pages[name], width_px, dark=dark)
    assert sound(page, width_px)["dark"] is dark
    page.close()


def test_a_chart_follows_the_reader_into_the_dark_and_to_another_width(
    browser: Browser, pages: dict[str, Path]
) -> None:
    page = open_page(browser, pages["search"], 1280)
    assert sound(page, 1280)["dark"] is False
    page.turn(390, dark=True)
    assert sound(page, 390)["dark"] is True
    page.close()


def test_a_name_in_the_legend_hides_its_lines_in_every_chart(
    browser: Browser, pages: dict[str, Path]
) -> None:
    page = open_page(browser, pages["ablation"], 1280)
    visible = """
      [...document.querySelectorAll(".js-plotly-plot")].flatMap((chart) => chart.data)
        .filter((trace) => trace.legendgroup === NAME).map((trace) => trace.visible ?? true)
    """
    press = '[...document.querySelectorAll(".legend button")].find((b) => b.dataset.name === NAME)'
    for name in ("OLIVINE", HOSTILE):
        page.run(f"window.NAME = {json.dumps(name)}")
        before = page.run(visible)
        assert len(before) > 3
        assert all(before)
        page.run(f"{press}.click()")
        assert not any(page.run(visible))
        assert page.run(f'{press}.getAttribute("aria-pressed")') == "false"
        page.run(f"{press}.click()")
        assert all(page.run(visible))
    page.close()


def test_a_range_of_a_setting_can_be_brushed(browser: Browser, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["search"], 1280)
    axis = page.run("""
      (() => {
        const line = document.querySelector("#chart-settings .axis-brush");
        line.scrollIntoView({ block: "center" });
        const box = line.getBoundingClientRect();
        return [box.x + box.width / 2, box.y, box.height];
      })()
    """)
    x, top, height = axis
    page.drag((x, top + 0.3 * height), (x, top + 0.7 * height))
    chosen = page.run(
        'document.getElementById("chart-settings").data[0].dimensions[0].constraintrange'
    )
    values = page.run('document.getElementById("chart-settings")._fullData[0].dimensions[0].range')
    share = (chosen[1] - chosen[0]) / (values[1] - values[0])
    assert 0.3 < share < 0.5
    page.close()


def test_a_point_says_what_it_is(browser: Browser, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["ablation"], 1280)
    page.run("""
      Plotly.Fx.hover("chart-cost", [{ curveNumber: 1, pointNumber: 0 }])
    """)
    told = page.run('document.querySelector("#chart-cost .hoverlayer").textContent')
    assert HOSTILE.replace(" ", "") in told.replace("\u00a0", "").replace(" ", "")
    assert "device time (h): " in told
    page.close()
