"""The site builds without a warning, and nothing of it comes from the network."""

import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from olivine.core.parts import kinds, part_class
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.experiments.recipes import RECIPES
from olivine.experiments.sweep_files import sweep_names
from olivine.labels.labeller import Labeller
from olivine.methods.losses.base import Loss
from olivine.training.config import EvaluateConfig, PretrainConfig
from tests.support import ROOT
from tools.docs_site import catalogue_pages, hooks, settings_page
from tools.docs_site.mathml import replace_equations

# What a browser loads by itself; a link is followed by its reader alone.
LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "object": "data"}


class Loads(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") not in ("prev", "next", "canonical"):
            self.addresses.append(values.get("href") or "")
        if tag in LOADED:
            self.addresses.append(values.get(LOADED[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as CI does."""
    folder = tmp_path_factory.mktemp("site")
    answer = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        found = Loads()
        found.feed(page.read_text())
        assert found.addresses
        assert not [text for text in found.addresses if re.match(r"(https?:)?//", text)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text()), sheet


@pytest.mark.slow
def test_every_equation_is_mathml(site: Path) -> None:
    text = (site / "method.html").read_text()
    assert text.count("<math") > 60
    assert "arithmatex" not in text


@pytest.mark.slow
def test_pages_of_the_root_link_to_pages_of_the_site(site: Path) -> None:
    text = (site / "contributing.html").read_text()
    assert 'href="architecture.html"' in text
    assert 'href="changelog.html"' in text
    assert "docs/" not in re.findall(r'href="([^"]+)"', text)
    assert 'href="contributing.html"' in (site / "cluster_aws.html").read_text()


@pytest.mark.slow
def test_citations_lead_to_the_sections_of_the_method(site: Path) -> None:
    there = set(re.findall(r'<h\d id="([^"]+)"', (site / "method.html").read_text()))
    link = re.compile(r'href="(?:\.\./)?method\.html#([^"]+)">method\.md §')
    for name in ("labels.html", "reference/recipes.html", "reference/settings.html"):
        cited = link.findall((site / name).read_text())
        assert cited, name
        assert set(cited) <= there


def test_names_in_cells_break_at_their_joints_and_have_no_escapes() -> None:
    page = "<td>by <code>a.b_c=1 \\| 2</code></td><p><code>a.b</code></p>"
    shown = hooks.CELL.sub(hooks._with_joints, page)
    assert shown == ("<td>by <code>a.<wbr>b_<wbr>c=<wbr>1 | 2</code></td><p><code>a.b</code></p>")


def test_commands_are_the_words_of_their_page_whatever_wraps_them(site: Path) -> None:
    num_blocks = 0
    for page in (ROOT / "docs").glob("*.md"):
        written = re.findall(r"^```bash\n(.*?)\n```", page.read_text(), re.DOTALL | re.MULTILINE)
        blocks = hooks.COMMANDS.findall((site / f"{page.stem}.html").read_text())
        shown = [html.unescape(re.sub(r"<[^>]+>", "", block)).rstrip("\n") for block in blocks]
        assert shown == written, page.name
        num_blocks += len(blocks)
    assert num_blocks > 20


def test_a_command_breaks_between_its_words_and_a_name_at_its_joints() -> None:
    line = '0-1">olivine<span class="w"> </span>--dry-run<span class="w"> </span>'
    line += '--set<span class="w"> </span><b>a.b_c</b>=1\n</span>'
    shown = hooks.LINE.sub(hooks._with_words, '<span id="__span-' + line)
    words = re.findall(r'<span class="word">(.*?)</span>', shown)
    assert words == ["olivine", "--dry-run", "--set", "<b>a.<wbr>b_<wbr>c</b>=1"]
    assert shown.endswith("</span>\n"), "a line's end within its box would be copied twice"
    option = hooks.INLINE.sub(
        lambda code: hooks.OPTION.sub(r"[\g<0>]", code[0]),
        "<code>a-b --dry-run -v</code> --no",
    )
    assert option == "<code>a-b [--dry-run] [-v]</code> --no"
    assert hooks.JOINT.sub("|", "__call__ ./a .png a.b_c") == "__call__ ./a .png a.|b_|c"


def test_equations_become_mathml_whatever_their_characters() -> None:
    page = r'<p>With <span class="arithmatex">\(a &lt; b\)</span></p>'
    page += '<div class="arithmatex">\\[\\frac{1}{2}\\]</div>'
    html = replace_equations(page)
    assert "arithmatex" not in html
    assert re.search(r"<mi>a</mi><mo>(&lt;|&#x0003C;)</mo><mi>b</mi>", html)
    assert '<div class="equation"><math' in html
    assert 'display="block"' in html


@pytest.mark.parametrize("model", [EvaluateConfig, PretrainConfig, Runtime])
def test_every_setting_of_an_experiment_is_in_the_reference(model: type[Spec]) -> None:
    rows = re.findall(r"^\| `(\w+)`", settings_page.page(), re.MULTILINE)
    assert set(model.model_fields) <= set(rows)


@pytest.mark.parametrize("family", [Loss, Labeller])
def test_every_kind_is_in_the_reference_with_its_own_settings(family) -> None:
    page = settings_page.page()
    for kind in kinds(family):
        (section,) = re.findall(rf"^### \w+: {kind}\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.M)
        own = set(part_class(family, kind).model_fields) - set(family.model_fields)
        assert own == set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))


def test_values_are_told_in_words() -> None:
    def told(annotation: object) -> str:
        return settings_page.values_of(annotation)

    assert told(Literal["a", "b"]) == "`a` or `b`"
    assert told(Annotated[float, Field(gt=0, le=1)] | None) == "number, > 0, ≤ 1 or `null`"
    assert told(tuple[int, ...]) == "list of: whole number"
    assert told(tuple[float, float]) == "2 values: number"
    assert told(dict[str, Loss]) == "by name: [losses](#losses)"


def test_descriptions_defaults_and_places_show() -> None:
    class Shown(Spec):
        size_m: float = Field(default=0.5, gt=0, description="side of a cell | in metres")
        names: tuple[str, ...] = ()
        path: str = ""

    text = settings_page._table(Shown, set(Shown.model_fields))
    assert "| `size_m` | number, > 0 | `0.5` | side of a cell \\| in metres |" in text
    assert "| `names` | list of: text | none |  |" in text
    assert "| `path` | text | empty |  |" in text
    assert "`engine` †" in settings_page.page()


def test_recipes_and_sweeps_have_their_pages() -> None:
    recipes, sweeps = catalogue_pages.recipes(), catalogue_pages.sweeps()
    assert all(f"\n## {name}\n" in recipes for name in RECIPES)
    assert all(f"\n## {name}\n" in sweeps for name in sweep_names())
    assert recipes.count("**Expected:**") == len(RECIPES)
