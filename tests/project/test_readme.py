"""The README is short; links between pages, and names of files in them, lead somewhere."""

import re

import pytest

from tests.support import ROOT
from tests.support.tracked_files import tracked

OUTSIDE = {name for name in tracked() if re.fullmatch(r"[A-Z]+\.md|cluster/README\.md", name)}
GENERATED = {
    f"reference/{name}.md"
    for name in ("commands", "published", "recipes", "settings", "sweeps", "weights")
}


def test_the_readme_has_at_most_150_lines_and_1500_words() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1500


@pytest.mark.parametrize("name", sorted(OUTSIDE | {"docs/index.md"}))
def test_links_lead_to_files(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text())
    lost = {link for link in links if not (page.parent / link).exists()}
    assert not {link for link in lost if link not in GENERATED}


PAGES = sorted(
    name
    for name in tracked()
    if name.endswith(".md") and name not in ("CHANGELOG.md", "docs/decisions.md")  # of their time
)
FOLDERS = "benchmarks|cluster|docs|olivine|ray_jobs|sweeps|tests|tools"


@pytest.mark.parametrize("name", PAGES)
def test_files_that_a_page_names_are_there(name: str) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)", (ROOT / name).read_text())
    assert not {path for path in named if "my_" not in path and not (ROOT / path).exists()}


def test_the_way_of_data_names_modules_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    (block,) = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names = re.findall(r"[a-z_]+(?:/[a-z_*]+)+", block)
    assert len(names) > 20
    lost = {name for name in names if not list((ROOT / "olivine").glob(f"{name}*"))}
    assert not lost
