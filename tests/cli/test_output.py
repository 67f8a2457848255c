"""Results on standard output, JSON where it is asked for, and commands that can be given."""

import io
import json
import logging
import re
import shlex
import sys
from collections.abc import Callable

import pytest

from olivine.cli import main as cli
from olivine.cli import output
from olivine.cli.output import write_layout, write_rows
from olivine.experiments.requests import ExperimentRequest, command
from olivine.results.tables.text import Layout, TextCell, TextTable
from olivine.tracking.tracker import NullTracker, RunKey
from olivine.training.evaluate import EvaluateResult


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
    ("flags", "shown"),
    [([], ["usual", "odd"]), (["-v"], ["fine", "usual", "odd"]), (["-q"], ["odd"])],
)
def test_verbosity_chooses_the_messages(flags, shown, capsys, monkeypatch):
    def talk() -> None:
        for level, text in ((10, "fine"), (20, "usual"), (30, "odd")):
            logging.getLogger("olivine.somewhere").log(level, text)

    monkeypatch.setattr(cli.listing, "list_names", talk)
    assert cli.main([*flags, "list"]) == 0
    told = capsys.readouterr().err.split()
    assert [text for text in told if text in {"fine", "usual", "odd"}] == shown


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


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, call: Callable[[], None]) -> str:
    """Return what a call writes on a terminal of so many columns."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    call()
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())  # bold and underlined


NAME, VALUE = "pretrained.method.terms.class.sample.category_temperature", "0.5"
SENTENCE = "How far rare classes are favoured when the pairs of the term are drawn."


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_name_is_cut_or_broken_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    columns = ("setting", "value", "what it is")
    shown = on_terminal(monkeypatch, width, lambda: write_rows(columns, [(NAME, VALUE, SENTENCE)]))
    assert max(map(len, shown.splitlines())) <= max(width, len(NAME))
    assert "…" not in shown
    assert " ".join(shown.split()).endswith(SENTENCE) or width >= 120
    if width >= 80:
        assert NAME in shown
    assert ("setting" in shown) == (width >= 120), "below each other where there is no room"


LAYOUT = Layout(
    title="Sweep methods",
    scores=TextTable(
        ("method", "mIoU (%)", "accuracy (%)", "n"),
        (
            (TextCell("random"), TextCell("7.64 ± 0.37"), TextCell("40.51 ± 1.15"), TextCell("3")),
            (
                TextCell("a_b*"),
                TextCell("11.02 ± 1.13", is_best=True),
                TextCell("–", is_missing=True),
                TextCell("3"),
            ),
        ),
    ),
    remarks=("The best of a column is bold.", "Differences to `a_b*`."),
    differences=None,
    difference_remarks=(),
    sources=("`random`, mIoU: 8.1, printed",),
    missing=("[b]never[/b] ran",),
)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_on_a_terminal_has_no_markup_and_nothing_cut(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    shown = on_terminal(monkeypatch, width, lambda: write_layout(LAYOUT))
    for text in ("Sweep methods", "mIoU (%)", "accuracy (%)", "11.02 ± 1.13", "40.51 ± 1.15"):
        assert text in shown
    for text in ("Differences to a_b*.", "• random, mIoU: 8.1, printed", "• [b]never[/b] ran"):
        assert text in " ".join(shown.split())
    for mark in ("**", "<ins>", "`", "|", "…"):
        assert mark not in shown
    assert max(map(len, shown.splitlines())) <= width
    assert (shown.count("mIoU (%)") == 1) == (width >= 80), "a line per score where it is narrow"


def test_a_table_elsewhere_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    write_layout(LAYOUT)
    assert capsys.readouterr().out.startswith("# Sweep methods\n")


def test_an_evaluation_on_scenes_that_trained_shows_its_mark(monkeypatch, capsys, tmp_path):
    found = "train has 2 of the 2 scenes of val (scene-0103, scene-0916)"
    key = RunKey("evaluate", "0123")
    result = EvaluateResult(key, {"miou": 61.5, "accuracy": 80.0}, "first.npz", overlap=found)
    monkeypatch.setattr("olivine.runners.launch.launch_evaluation", lambda *_, **__: result)
    monkeypatch.setattr("olivine.cli.evaluate.open_tracker", lambda runtime: NullTracker())
    words = ["evaluate", "demo", "--set", f"runtime.out={tmp_path}"]
    assert answer(capsys, *words, "--json")["overlap"] == found
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "61.50 %‡" in shown
    assert "80.00 %‡" in shown
    assert "‡ Not a fair score, as the network learnt from scenes" in shown
    assert f" {found}." in shown
