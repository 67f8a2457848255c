"""Sweeps are files: ours, those of a folder where a person works, and any other by its path."""

from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.experiments.sweep_files import find_sweep, sweep_file, sweep_module, sweep_names

MINE = """\
\"\"\"Is one better than the other?\"\"\"
from olivine.experiments.sweep import Sweep
from .shared import ROWS

SWEEP = Sweep(name="mine", question=__doc__, metric="miou", recipe="demo", rows=ROWS)
"""
SHARED = 'ROWS = {"one": {"pretrained.num_epochs": 1}, "other": {"pretrained.num_epochs": 0}}\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a person works, with sweeps of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.py").write_text(MINE)
    (tmp_path / "sweeps" / "shared.py").write_text(SHARED)
    return tmp_path


def test_ones_own_folder_neither_hides_ours_nor_is_hidden(here: Path) -> None:
    assert {"components", "mine"} <= set(sweep_names())
    assert list(find_sweep("mine").rows) == ["one", "other"]
    assert "OLIVINE" in find_sweep("components").rows
    assert set(sweep_module("mine").ROWS) == {"one", "other"}


def test_a_path_works_from_anywhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert find_sweep("../sweeps/mine.py").name == "mine"
    assert find_sweep(str(here / "sweeps" / "mine.py")).name == "mine"
    assert sweep_file("components").parent.name in {"sweeps", "_sweeps"}
    with pytest.raises(UserError, match=r"No sweep 'mine'\."):
        find_sweep("mine")


def test_two_files_of_one_name_are_told_apart_by_a_path(here: Path) -> None:
    (here / "sweeps" / "components.py").write_text(MINE.replace('"mine"', '"components"'))
    with pytest.raises(UserError, match="Two sweeps are called 'components', "):
        find_sweep("components")
    assert list(find_sweep("./sweeps/components.py").rows) == ["one", "other"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ROWS = {}\n", r"is no sweep: it must define SWEEP = Sweep\(\.\.\.\).*does not define it"),
        ("SWEEP = {'name': 'mine'}\n", "has a value of type dict there"),
        (MINE.replace('name="mine"', 'name="other"'), "calls its sweep 'other': its name is that"),
        (MINE.replace("rows=", "row="), r"mine\.py: No setting 'row'"),
        ("import nothing_of_that_name\n", "cannot be run: ModuleNotFoundError: No module named"),
        ("SWEEP = (\n", "mine.py is not Python: .*line 1"),
        ("1 / 0\n", "cannot be run: ZeroDivisionError: division by zero"),
    ],
    ids=["none", "a dict", "other name", "misspelt", "no module", "torn", "raises"],
)
def test_a_file_that_is_no_sweep_is_told_in_a_sentence(here: Path, text: str, words: str) -> None:
    path = here / "broken" / "mine.py"
    path.parent.mkdir()
    path.write_text(text)
    (path.parent / "shared.py").write_text(SHARED)
    with pytest.raises(UserError, match=words) as caught:
        find_sweep(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_leads_nowhere_is_named(here: Path) -> None:
    with pytest.raises(UserError, match=r"There is no sweep's file \./nowhere\.py"):
        find_sweep("./nowhere.py")
