"""What a person types and reads: help at once, mistakes in one line, settings that go round."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from olivine.cli import main as cli
from olivine.experiments.recipes import RECIPES, recipe
from olivine.training.config import EvaluateConfig

HEAVY = {"torch", "ray", "mlflow", "pydantic", "numpy", "pandas", "matplotlib", "yaml"}


def run(*arguments: str) -> tuple[int, str]:
    """Run the program as a shell would; return its status and what it wrote to stderr."""
    answer = subprocess.run(
        [sys.executable, "-m", "olivine.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return answer.returncode, answer.stderr


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run in this process; assert that it ends as a user's mistake and return the one line."""
    status = cli.main(arguments)
    written = capsys.readouterr()
    assert status == cli.USER_ERROR
    assert written.out == ""
    assert written.err.startswith("olivine")
    assert written.err.count("\n") == 1, written.err
    return written.err


def test_help_imports_nothing_heavy() -> None:
    # The time it takes is what it imports; counting modules gives the same answer on a busy
    # machine.
    code = """
import sys
from olivine.cli import main as cli
assert cli.main(["--help"]) == 0
print("MODULES", *sys.modules)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    help_text, _, modules = answer.partition("MODULES")
    loaded = {name.split(".")[0] for name in modules.split()}
    assert not loaded & HEAVY
    for command in ("data", "label", "pretrain", "evaluate", "sweep", "table", "demo", "show"):
        assert f" {command} " in help_text
    assert "olivine demo --out demo" in " ".join(help_text.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pretain"], "Did you mean 'pretrain'?"),
        (["data", "chek", "x"], "Did you mean 'check'?"),
        (["show", "dem"], "Did you mean 'demo'?"),
        (["show", "demo", "--sett", "a=1"], "No such option: --sett"),
        (["show", "DEMO"], "Did you mean 'demo'?"),
        (["Pretrain"], "Did you mean 'pretrain'?"),
        (["sweep", "Components"], "Did you mean 'components'?"),
        (["list", "loss"], "Did you mean 'losses'?"),
        (["sweep"], "Missing argument 'SWEEP'"),
        (["sweep", "components", "--max-trials", "two"], "--max-trials"),
        (["data", "check", "nowhere", "--threads", "0"], "--threads takes a number of at least 1"),
        (["label", "demo", "--limit", "0"], "--limit takes a number of at least 1"),
        (["show", "demo", "--set", "pretrained.num_epoch=1"], "Did you mean 'num_epochs'?"),
        (["show", "demo", "--set", "runtime.num_worker=1"], "Did you mean 'num_workers'?"),
        (["show", "demo", "--set", "pretraind.seed=1"], "Did you mean 'pretrained"),
        (["show", "demo", "--set", "pretrained.teacher.kind=filter_bonk"], "'filter_bank'"),
        (["show", "demo", "--set", "pretrained.seed"], "'pretrained.seed'"),
        (["show", "demo", "--set", "pretrained.num_epochs=many"], "num_epochs"),
        (["show", "demo", "--set", "pretrained.num_epochs=-1"], "num_epochs"),
        (["show", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["sweep", "component"], "Did you mean 'components'?"),
        (["data", "check", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_with_the_nearest_real_name(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert expected in mistake(capsys, *arguments)
    assert list(tmp_path.iterdir()) == [], "a mistake leaves nothing behind"


def texts_of(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the words of each command with each of its options that takes a text."""
    for inner, found in getattr(command, "commands", {}).items():
        yield from texts_of(found, (*words, *inner.split()))
    for option in command.params:
        takes_text = option.type_descriptor.annotation in (str, list[str])
        if option.param_type_name == "option" and takes_text and not option.is_flag:
            yield words, option.opts[0]


@pytest.mark.parametrize("empty", ["", " ", ",", " ; "])
def test_an_empty_value_of_any_option_is_refused(
    empty: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.main.get_command(cli.build_app())
    pairs = list(texts_of(app))
    named = {option for _, option in pairs}
    assert named >= {"--config", "--seeds", "--rows", "--as", "--folder", "--set", "--recipe"}
    for words, option in pairs:
        line = mistake(capsys, *words, option, empty)
        assert f"{option} was given an empty value" in line, words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", ""], "RECIPE was given an empty value, .*: leave it out or give a RECIPE"),
        (["pretrain", ""], "RECIPE was given an empty value"),
        (["embed", "run", ""], "SCAN was given an empty value"),
        (["embed", "run", "scan.bin", ""], "SCAN was given an empty value"),
        (["sweep", ""], "SWEEP was given an empty value, .*: give a SWEEP"),
        (["data", "check", ""], "FOLDER was given an empty value"),
        (["list", ""], "WHAT was given an empty value"),
        (["new", "loss", ""], "NAME was given an empty value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_empty_argument_is_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(expected, mistake(capsys, *arguments))


def test_a_home_is_expanded_in_every_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["new", "loss", "my_loss", "--folder=~/mine"]) == 0
    assert (tmp_path / "mine" / "my_loss.py").is_file()
    capsys.readouterr()
    assert cli.main(["show", "demo"]) == 0
    (tmp_path / "x.yaml").write_text(capsys.readouterr().out.partition("\n")[2])
    assert cli.main(["show", "--config", "~/x.yaml"]) == 0
    capsys.readouterr()
    assert f"No folder {tmp_path}/world" in mistake(capsys, "data", "check", "~/world")


@pytest.mark.parametrize("value", ["", "null", "''"])
def test_a_kind_that_is_empty_is_told_so(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = "pretrained.method.terms.pixel.loss.kind"
    line = mistake(capsys, "show", "demo", "--set", f"{name}={value}")
    assert f"Setting {name!r} is empty: it takes the name of a kind." in line


@pytest.mark.parametrize("command", ["label", "pretrain", "evaluate"])
def test_a_missing_data_root_is_named(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = [
        f"--set=runtime.{name}={tmp_path / name}" for name in ("data_root", "out", "cache_dir")
    ]
    line = mistake(capsys, command, "demo", "--set=runtime.launcher=process", *place)
    assert str(tmp_path / "data_root") in line


def test_the_program_itself_ends_with_the_status_and_without_a_traceback() -> None:
    status, written = run("show", "nothing_of_that_name")
    assert status == cli.USER_ERROR
    assert "Traceback" not in written
    assert written.count("\n") == 1


@pytest.mark.parametrize("name", RECIPES)
def test_what_show_prints_can_be_fed_back(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    changes = ["--set=runtime.num_workers=3", "--set=seed=7"]
    assert cli.main(["show", name, *changes]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "settings.yaml").write_text(printed)
    assert cli.main(["show", "--config", str(tmp_path / "settings.yaml")]) == 0
    assert capsys.readouterr().out == printed

    tree = yaml.safe_load(printed)
    assert tree.pop("runtime")["num_workers"] == 3
    shown = EvaluateConfig.from_dict(tree)
    assert shown == recipe(name).override({"seed": 7})
    assert shown.fingerprint() in printed.splitlines()[0]


def test_runtime_is_not_part_of_the_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    first_lines = []
    for changes in ([], ["--set=runtime.num_workers=2"], ["--set=pretrained.seed=1"]):
        cli.main(["show", "demo", *changes])
        first_lines.append(capsys.readouterr().out.splitlines()[0])
    assert first_lines[0] == first_lines[1] != first_lines[2]


def test_a_settings_file_and_a_recipe_do_not_mix(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli.main(["show", "demo"])
    (tmp_path / "settings.yaml").write_text(capsys.readouterr().out)
    line = mistake(capsys, "show", "demo", "--config", str(tmp_path / "settings.yaml"))
    assert "not both" in line


@pytest.mark.parametrize(
    "text",
    ["a: [1", "[1, 2]", "seed: 1\nseed: 2\n", "seed: 1\n"],
    ids=["torn", "a list", "twice the same name", "half a configuration"],
)
def test_a_settings_file_that_is_none_is_named(
    text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    mistake(capsys, "show", "--config", str(path))


@pytest.mark.parametrize("words", [(), ("data",), ("weights",)])
def test_without_a_command_the_help_is_all_that_is_said(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "olivine.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Usage: olivine" in said
    assert said.rstrip().splitlines()[-1].strip() not in ("olivine:", f"olivine {' '.join(words)}:")
    assert done.returncode == 2


@pytest.mark.parametrize("words", [(), ("sweep",), ("weights", "list")])
def test_an_option_without_a_value_has_no_type_in_the_help(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "olivine.cli.main", *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--help" in done.stdout
    assert "bool" not in done.stdout


@pytest.mark.parametrize("words", [("list", "recipes"), ("show", "nosuch"), ("-v", "show", "demo")])
def test_a_command_leaves_the_librarys_logger_to_the_program_that_runs_it(
    words: tuple[str, ...],
) -> None:
    log = logging.getLogger("olivine")
    mine = logging.NullHandler()
    log.addHandler(mine)
    before = list(log.handlers), log.propagate, log.level
    try:
        cli.main(words)
        assert (log.handlers, log.propagate, log.level) == before
    finally:
        log.removeHandler(mine)
