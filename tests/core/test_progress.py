import io
import logging
import time

import pytest

from olivine.core import progress
from olivine.core.progress import Progress, Silence, span


def test_the_line_says_rate_time_left_and_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    report = Progress("label", "images", lambda: "0.5 GPU-hours")
    for done, now in ((0, 1000.0), (10, 1003.0), (600, 1060.0), (601, 1060.1), (6000, 1600.0)):  # noqa: B007, the clock reads `now`
        report(done, 6000)
    assert capsys.readouterr().err.splitlines() == [
        "label: 600/6000 images, 10/s, 9 min left, 0.5 GPU-hours",
        "label: 6000/6000 images, 10/s, 0.5 GPU-hours",
    ]


def test_silence_is_broken_once_until_something_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    with Silence("nothing happens", longest_s=0.05) as silence:
        time.sleep(0.3)
        assert caplog.messages == ["nothing happens"]
        silence.reset()
        time.sleep(0.3)
    assert caplog.messages == ["nothing happens"] * 2
    with Silence("nothing happens", longest_s=30.0):
        pass  # it does not wait for the silence
    assert len(caplog.messages) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_is_drawn_and_left_when_all_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, terminal = 1000.0, Terminal()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    report, other = Progress("label", "images"), Progress("check", "files")
    report(0, 60)
    other(0, 9)
    now = 1010.0
    report(30, 60)
    other(9, 9)
    assert "label" in terminal.getvalue()
    assert "30/60" in terminal.getvalue()
    now = 1020.0
    report(60, 60)
    assert "60/60" in terminal.getvalue()
    assert terminal.getvalue().count("\x1b[?25h") == 1, "the cursor is shown again, once"


def test_a_quiet_logger_shows_no_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress.log, "level", logging.WARNING)
    report = Progress("label", "images")
    report(0, 60)
    now = 1010.0
    report(60, 60)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h")]
)
def test_spans_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
