"""`olivine new`: what it writes and says, and a run that says that it was reused."""

import json
import shlex
from pathlib import Path

import pytest

from olivine.cli import main as cli
from olivine.core.plugins.code_cache import VARIABLE
from tests.support.small import SMALL


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_where_the_files_are_and_how_they_are_used(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new", "loss", "my_loss"]) == 0
    said = capsys.readouterr().out
    assert "Wrote my_loss.py and test_my_loss.py." in said
    setting = "pretrained.method.terms.pixel.loss.kind=./my_loss.py:MyLoss"
    assert f"Use it:  --set {setting}" in said
    assert cli.main(["show", "demo", "--set", setting]) == 0
    assert "kind: my_loss.py:MyLoss@" in capsys.readouterr().out
    assert cli.main(["new", "loss", "my_loss"]) == cli.USER_ERROR
    assert "my_loss.py exists already" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["with space", "with $HOME; and 'quotes'", "größer"])
def test_its_commands_can_be_copied_from_any_folder(
    folder: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new", "recipe", "mine", "--folder", folder]) == 0
    said = capsys.readouterr().out.splitlines()
    test, use = (shlex.split(line.partition(": ")[2]) for line in said[1:])
    assert test == ["python", "-m", "pytest", f"{folder}/test_mine.py"]
    assert use == ["olivine", "show", f"./{folder}/mine.py:mine"]
    assert cli.main(use[1:]) == 0


def test_it_can_be_read_by_a_program(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", "recipe", "mine", "--folder", "recipes", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "part": "recipes/mine.py",
        "test": "recipes/test_mine.py",
        "use": "olivine show ./recipes/mine.py:mine",
    }
    assert cli.main(facts["use"].split()[1:]) == 0


def test_a_second_run_says_whose_it_reuses_and_force_runs_it_again(
    here: Path, tiny_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["new", "loss", "my_loss"])
    loss = "pretrained.method.terms.pixel.loss.kind=./my_loss.py:MyLoss"
    places = {"data_root": tiny_world, "out": here / "out", "cache_dir": here / "cache"}
    more = {"launcher": "process", "device": "cpu", "allow": "fewer_pairs"}
    settings = {**SMALL, "pretrained.num_epochs": 1}
    settings |= {f"runtime.{name}": value for name, value in {**places, **more}.items()}
    command = ["pretrain", "demo_ppkt", "--set", loss]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    capsys.readouterr()
    for extra, reuses in (([], False), ([], True), (["--force"], False)):
        assert cli.main([*command, *extra]) == 0
        assert ("Reused the pretraining of 20" in capsys.readouterr().out) == reuses
    path = here / "my_loss.py"
    path.write_text(path.read_text().replace(".mean()", ".mean() * 100"))
    assert cli.main(command) == 0
    assert "Reused" not in capsys.readouterr().out, "edited code meets no old result"
