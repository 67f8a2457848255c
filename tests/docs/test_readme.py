"""The README is short, and links between pages lead somewhere."""

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
