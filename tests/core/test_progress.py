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
    for done, now in ((0, 1000.0), (10, 1003.0), (600, 1060.0), (601, 1060.1), (6000, 1600.0)):  # noqa: B007
        report(done, 6000)
    assert capsys.readouterr().err.splitlines() == [
        "label: 600/6000 images, 10/s, 9 min left, 0.5 GPU-hours",
        "label: 6000/6000 images, 10/s, 0.5 GPU-hours",
    ]


def test_silence_is_broken_once_until_something_is_heard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Silence("nothing happens", longest_s=0.05) as silence:
        time.sleep(0.3)
        assert capsys.readouterr().err == "nothing happens\n"
        silence.heard()
        time.sleep(0.3)
    assert capsys.readouterr().err == "nothing happens\n"
    with Silence("nothing happens", longest_s=30.0):
        pass  # it does not wait for the silence
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h")]
)
def test_spans_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
