"""CI runs the pages' commands as they stand: only paths differ, and each runs once."""

import re

import pytest

from tests.support import ROOT
from tools import run_pages

PAGES = ("docs/getting_started.md", "README.md")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the commands that are run, of pages that are run afterwards."""
    commands: list[str] = []
    monkeypatch.setattr(run_pages, "run", commands.append)
    monkeypatch.setattr(run_pages, "serve", lambda command, address: commands.append(command))
    return commands


def test_every_command_of_the_pages_runs_but_downloads(ran: list[str]) -> None:
    run_pages.run_pages(list(PAGES))
    shown = [
        re.sub(r"\s+#.*", "", command)
        for page in PAGES
        for command in run_pages.commands((ROOT / page).read_text())
    ]
    expected = {run_pages.replaced(x) for x in shown if "weights fetch" not in x}
    assert set(ran) == expected | {run_pages.MAKE_STAND_INS}
    assert len(ran) == len(set(ran)), "each runs once"
    assert not [command for command in ran if re.search(r"(?<![\w/])/data\b", command)]
    assert ran[0].startswith("python3 -m venv .venv"), "nothing is there before"
    made, installed = ran.index(run_pages.MAKE_STAND_INS), [x for x in ran if "grounded-sam" in x]
    assert max(map(ran.index, installed)) < made, "weights are written by what the page installs"


def test_only_words_with_paths_are_replaced(ran: list[str]) -> None:
    """What is run has the words of the page, all but those that name data, weights or settings."""
    for command in run_pages.commands((ROOT / "README.md").read_text()):
        words, real = command.split(), run_pages.replaced(command).split()
        assert len(words) == len(real)
        differ = [word for word, other in zip(words, real, strict=True) if word != other]
        assert all("/data/" in word or word.endswith(".yaml") for word in differ), differ


def test_a_command_over_several_lines_is_one_and_other_blocks_are_none() -> None:
    page = "```bash\na \\\n  b   # why\n\nc\n```\n```python\nd\n```\n```\ne\n```\n"
    assert list(run_pages.commands(page)) == ["a    b   # why", "c"]


def test_a_command_that_fails_ends_the_run_with_its_words() -> None:
    with pytest.raises(SystemExit, match="exit status 3: exit 3"):
        run_pages.run("exit 3")
    with pytest.raises(SystemExit, match=r"exit status 1: false \| cat"):
        run_pages.run("false | cat")


def test_a_server_that_does_not_come_up_ends_the_run() -> None:
    with pytest.raises(SystemExit, match="does not answer"):
        run_pages.serve("true", "http://127.0.0.1:9")
