"""What a table's command asks of which sweep; the sweeps themselves run elsewhere."""

from argparse import Namespace

import pytest

from olivine import sweep_commands
from olivine.cli import build_parser
from olivine.commands import INCOMPLETE
from olivine.errors import UserError
from olivine.sweep import find_sweep


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[str]]]:
    """Take the place of running a sweep: note its name, rows and settings."""
    found: list[tuple[str, str, list[str]]] = []

    def note(arguments: Namespace) -> int:
        found.append((arguments.name, arguments.rows, arguments.set))
        return 0

    monkeypatch.setattr(sweep_commands, "sweep", note)
    return found


def reproduce(*words: str) -> int:
    return sweep_commands.reproduce(build_parser().parse_args(["reproduce", *words]))


def test_table1_says_what_it_leaves_out_without_semantic_kitti(asked, capsys):
    assert reproduce("table1", "--set", "runtime.out=o") == INCOMPLETE
    assert asked == [
        ("methods", "", ["runtime.out=o"]),
        ("label_fraction", "", ["runtime.out=o"]),
    ]
    assert "left out is label_fraction_semantickitti" in capsys.readouterr().out


def test_table1_takes_its_column_of_semantic_kitti_from_its_own_folder(asked):
    assert reproduce("table1", "--semantic-kitti", "/kitti", "--set", "runtime.out=o") == 0
    nuscenes, last = asked[:2], asked[2]
    assert all(settings == ["runtime.out=o"] for _, _, settings in nuscenes)
    name, rows, settings = last
    assert settings == ["runtime.out=o", "train.root=/kitti", "val.root=/kitti"]
    chosen = find_sweep(name).only(rows.split(";")).rows
    assert list(chosen) == [row for row in find_sweep(name).rows if row.endswith(", 1 %")]
    assert len(chosen) == 11


@pytest.mark.parametrize(
    "words",
    [["--semantic-kitti", "/k"], ["--set", "train.root=/k", "--set", "val.root=/k"]],
    ids=["option", "settings"],
)
def test_table2_has_all_shares(asked, words):
    assert reproduce("table2", *words) == 0
    assert asked == [("label_fraction_semantickitti", "", ["train.root=/k", "val.root=/k"])]


def test_rows_that_are_asked_for_are_taken(asked):
    reproduce("table1", "--semantic-kitti", "/k", "--rows", "random, 1 %")
    assert {rows for _, rows, _ in asked} == {"random, 1 %"}


def test_an_unknown_table_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"No 'table7b' to reproduce. Did you mean 'table7'\?"):
        reproduce("table7b")
