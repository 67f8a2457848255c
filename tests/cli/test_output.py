"""Results on standard output, JSON where it is asked for, and commands that can be given."""

import json
import logging
import shlex

import pytest

from olivine.cli import main as cli
from olivine.cli import output
from olivine.experiments.requests import ExperimentRequest, command


def answer(capsys: pytest.CaptureFixture[str], *words: str):
    assert cli.main(words) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("what", ["", "recipes", "sweeps", "methods", "losses", "teachers"])
def test_lists_have_a_line_each_and_the_same_as_json(what, capsys):
    words = ["list", *([what] if what else [])]
    listed = answer(capsys, *words, "--json")
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(listed) >= 3
    for line, (name, text) in zip(lines, listed.items(), strict=True):
        assert line.startswith(name)
        assert line.endswith(text)
        assert len(text.split()) >= 3, f"{name} says too little of itself"


def test_show_as_json_is_what_show_prints(capsys):
    shown = answer(capsys, "show", "demo", "--json")
    experiment, runtime = ExperimentRequest("demo").resolve()
    assert shown["fingerprint"] == experiment.fingerprint()
    assert shown["settings"] == {**experiment.to_dict(), "runtime": runtime.to_dict()}


def test_show_describes_every_setting_by_the_name_that_set_takes(capsys):
    described = {one["name"]: one for one in answer(capsys, "show", "demo", "--describe", "--json")}
    experiment, runtime = ExperimentRequest("demo").resolve()
    names = [*experiment.flatten(), *(f"runtime.{name}" for name in runtime.flatten())]
    assert set(names) == set(described)


def test_what_a_request_gives_a_command_is_the_request_again():
    request = ExperimentRequest("demo", settings=("seed=1", "runtime.out=my runs", "val.root=$X"))
    words = shlex.split(command("evaluate", *request.arguments()))
    assert words[:3] == ["olivine", "evaluate", "demo"]
    assert ExperimentRequest(words[2], settings=tuple(words[4::2])) == request
    assert request.arguments(recipe_option=True)[:2] == ["--recipe", "demo"]
    assert request.runtime_arguments() == ["--set", "runtime.out=my runs"]


def test_what_comes_next_is_a_job_within_a_job(capsys, monkeypatch):
    words = ["evaluate", "demo", "--set", "runtime.out=a b"]
    output.write_next(words)
    assert capsys.readouterr().out == "Next: olivine evaluate demo --set 'runtime.out=a b'\n"
    monkeypatch.setenv(output.IN_JOB, "{}")
    output.write_next(words)
    expected = "Next: ray job submit --working-dir . -- python -m ray_jobs.evaluate demo --set"
    assert capsys.readouterr().out == f"{expected} 'runtime.out=a b'\n"
    output.write_next(["data", "check", "x"])
    assert capsys.readouterr().out == "", "no job does that"


@pytest.mark.parametrize(
    ("flags", "level"), [([], logging.INFO), (["-v"], logging.DEBUG), (["-q"], logging.WARNING)]
)
def test_verbosity_is_the_loggers_level(flags, level, capsys):
    assert cli.main([*flags, "list"]) == 0
    assert logging.getLogger("olivine").level == level
    logging.getLogger("olivine").info("a message")
    said = capsys.readouterr().err
    assert ("a message" in said) == (level <= logging.INFO)


def test_the_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"olivine {version('olivine')}\n"


def test_a_shell_completes_recipes_sweeps_and_lists():
    from olivine.cli.list import completions
    from olivine.cli.options import complete_recipe, complete_sweep

    assert set(complete_recipe("demo")) == {"demo", "demo_ppkt", "demo_random"}
    assert "components" in set(complete_sweep("comp"))
    assert list(completions("rec")) == ["recipes"]
