"""The command runs parts in processes of their own and reports what each of them found."""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.gpu_check import __main__ as command
from tools.gpu_check.report import (
    FAILED,
    LEFT_OUT,
    MEASURED,
    PASSED,
    Finding,
    Setup,
    compared,
    left_out,
    measured,
    table,
)

Run = Callable[..., tuple[int, dict[str, Any]]]


def good(setup: Setup) -> Iterator[Finding]:
    yield compared("good", "a sum", 1e-7, 1e-5)
    yield measured("good", "the process", "", pid=os.getpid())
    yield measured("good", "what it is given", "", device=setup.device, small=setup.is_small)
    yield left_out("good", "real keyframes", "none given")
    (setup.scratch / "large").write_text("...")
    yield measured("good", "its folder", str(setup.scratch))
    yield measured("good", "its time", "", has_one=setup.has_s(1), has_hour=setup.has_s(3600))


def wrong(setup: Setup) -> Iterator[Finding]:
    yield compared("wrong", "a sum", 0.5, 1e-5)


def not_a_number(setup: Setup) -> Iterator[Finding]:
    yield compared("not_a_number", "a sum", float("nan"), 1e-5)


def raises(setup: Setup) -> Iterator[Finding]:
    yield compared("raises", "a sum", 1e-7, 1e-5)
    raise ValueError("an illegal address\nand more")


def killed(setup: Setup) -> Iterator[Finding]:
    yield compared("killed", "a sum", 1e-7, 1e-5)
    os.kill(os.getpid(), signal.SIGKILL)


def endless(setup: Setup) -> Iterator[Finding]:
    (setup.scratch / "large").write_text("...")
    yield compared("endless", "a sum", 1e-7, 1e-5)
    time.sleep(60)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a call of the command, of which these functions are the parts."""
    parts = (good, wrong, not_a_number, raises, killed, endless)
    monkeypatch.setattr(command, "PARTS", {part.__name__: "" for part in parts})
    for part in parts:
        module = SimpleNamespace(check=part)
        monkeypatch.setitem(sys.modules, f"tools.gpu_check.{part.__name__}", module)

    def call(*words: str) -> tuple[int, dict[str, Any]]:
        out = tmp_path / "folder" / "out.json"
        code = command.main([*words, "--device", "cpu", "--out", str(out)])
        return code, json.loads(out.read_text(), parse_constant=pytest.fail)

    return call


def verdicts(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["what"], one["verdict"]) for one in report["findings"]]


def test_a_part_runs_in_a_process_and_a_folder_of_its_own(run: Run) -> None:
    code, report = run("good", "--small")

    assert code == 0
    assert verdicts(report) == [
        ("a sum", PASSED),
        ("the process", MEASURED),
        ("what it is given", MEASURED),
        ("real keyframes", LEFT_OUT),
        ("its folder", MEASURED),
        ("its time", MEASURED),
        ("time of the part", MEASURED),
    ]
    assert report["findings"][1]["numbers"]["pid"] != os.getpid()
    assert report["findings"][2]["numbers"] == {"device": "cpu", "small": True}
    assert not Path(report["findings"][4]["figure"]).exists()
    assert report["findings"][5]["numbers"] == {"has_one": True, "has_hour": False}
    assert all(0 <= one["after_s"] < 60 for one in report["findings"][:6])
    assert {"python", "torch", "cuda", "date"} <= set(report["machine"])


@pytest.mark.parametrize("part", ["wrong", "not_a_number"])
def test_an_error_above_its_bound_fails_the_command(run: Run, part: str) -> None:
    code, report = run("good", part)

    assert code == 1
    assert [one["what"] for one in report["findings"] if one["verdict"] == FAILED] == ["a sum"]


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("raises", "ValueError: an illegal address"),
        ("killed", "its process ended with -9"),
        ("endless", "not done after 3 s"),
    ],
)
def test_a_part_that_breaks_keeps_what_it_found_and_stops_no_other(
    run: Run, part: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    code, report = run(part, "good", "--limit-s", "3")

    assert code == 1
    assert verdicts(report)[:4] == [
        ("a sum", PASSED),
        ("the part", FAILED),
        ("time of the part", MEASURED),
        ("a sum", PASSED),  # the next part's
    ]
    assert report["findings"][1]["figure"] == why
    assert list(scratch.iterdir()) == []


def test_all_parts_run_unless_some_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PARTS", {"good": "", "wrong": ""})

    code, report = run()

    assert code == 1
    assert {one["part"] for one in report["findings"]} == {"good", "wrong"}
    printed = capsys.readouterr().out
    assert "good: 1 pass, 1 left out" in printed
    assert "wrong: 1 FAIL" in printed
    assert printed.splitlines()[-1].startswith("1 failed of 9")


def test_an_unknown_part_is_named_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["unets"])

    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "there is no part 'unets'" in error
    assert all(part in error for part in command.PARTS)


def test_every_part_is_described() -> None:
    for part, what in command.PARTS.items():
        assert what, part


def test_what_passed_is_counted_and_listed_only_if_wanted() -> None:
    findings = [
        compared("sums", "of rows", 1e-7, 1e-5),
        compared("sums", "of columns", 0.1, 1e-5),
    ]

    assert table(findings) == (
        "sums: 1 pass, 1 FAIL\n  of columns  error 1.0e-01, allowed 1e-05  FAIL"
    )
    assert "of rows" in table(findings, all_lines=True)
