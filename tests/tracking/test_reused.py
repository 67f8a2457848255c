"""What is said of a run whose result is taken: when it was made, by what code, how that differs."""

import pytest

from olivine.tracking.reused import Reused, code_change, reused_runs
from olivine.tracking.tracker import RunKey, RunRecord

ONE, TWO = "a" * 40, "b" * 40
CLEAN = {"git.commit": ONE, "git.dirty": "false"}
DIRTY = {"git.commit": ONE, "git.dirty": "true", "sha256.code.diff": "1"}
OTHER_CHANGES = {**DIRTY, "sha256.code.diff": "2"}
LATER = {"git.commit": TWO, "git.dirty": "false"}
WHEEL, NEXT_WHEEL = {"version.olivine": "0.1.0"}, {"version.olivine": "0.2.0"}


def record(tags: dict[str, str], end_s: float = 1_795_788_000.0) -> RunRecord:
    key = RunKey("pretrain", "0" * 12)
    return RunRecord("1", key, "run", "FINISHED", {}, {}, tags, end_s=end_s)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (CLEAN, CLEAN, ""),
        (DIRTY, DIRTY, ""),
        (WHEEL, WHEEL, ""),
        (CLEAN, LATER, "the code here is commit bbbbbbbbbbbb"),
        (CLEAN, DIRTY, "the code here has uncommitted changes"),
        (DIRTY, OTHER_CHANGES, "the code here has other uncommitted changes"),
        (DIRTY, CLEAN, "the code here is that commit without those changes"),
        (LATER, DIRTY, "the code here is commit aaaaaaaaaaaa with uncommitted changes"),
        (WHEEL, NEXT_WHEEL, "the code here is olivine 0.2.0"),
        (WHEEL, CLEAN, "the code here is commit aaaaaaaaaaaa"),
        (CLEAN, WHEEL, "the code here is olivine 0.1.0"),
        ({}, WHEEL, "the code here is olivine 0.1.0"),
        ({}, {}, "the code here is by code of an unknown version"),
    ],
)
def test_a_difference_of_the_code_is_told_and_only_that(
    then: dict[str, str], now: dict[str, str], said: str
) -> None:
    assert code_change(then, now) == said


def test_the_sentence_has_the_date_the_commit_and_the_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("olivine.tracking.reused.provenance", lambda: LATER)
    assert str(Reused("the pretraining", record(CLEAN))) == (
        "Reused the pretraining of 2026-11-27 14:00 UTC, commit aaaaaaaaaaaa; the code here is "
        "commit bbbbbbbbbbbb."
    )
    assert "commit bbbbbbbbbbbb." in str(Reused("the evaluation", record(LATER)))
    assert ";" not in str(Reused("the evaluation", record(LATER)))


def test_runs_are_told_together_where_one_code_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olivine.tracking.reused.provenance", lambda: CLEAN)
    made = [record(CLEAN), record(CLEAN, 1_795_874_400.0), record(LATER)]
    assert reused_runs("trial", made) == [
        "Reused 2 trials of 2026-11-27 14:00 UTC to 2026-11-28 14:00 UTC, commit aaaaaaaaaaaa.",
        "Reused 1 trial of 2026-11-27 14:00 UTC, commit bbbbbbbbbbbb; the code here is commit "
        "aaaaaaaaaaaa.",
    ]
    assert reused_runs("trial", []) == []
