"""Two runs side by side: what differs is told, what does not is not, and a word means one run."""

from collections.abc import Mapping

import pytest

from olivine.core.errors import UserError
from olivine.results.compare_runs import compare, find_runs, lines
from olivine.tracking.tracker import RunKey, RunRecord

TAGS = {
    "git.commit": "aaaa",
    "git.dirty": "false",
    "version.torch": "2.13.0",
    "hardware.gpu": "H100",
    "sha256.code.diff": "11",
    "sha256.packages.txt": "22",
    "olivine.pretrained": "p1",
    "olivine.sweep": "one",
    "mlflow.user": "me",
}
SETTINGS = {"seed": "0", "optimiser.lr": "0.1"}
METRICS = {"miou": 30.0, "iou/car": 50.0, "system/cpu": 7.0}


def run(
    run_id: str = "a" * 32,
    fingerprint: str = "f1",
    stage: str = "evaluate",
    status: str = "FINISHED",
    *,
    settings: Mapping[str, str] = SETTINGS,
    metrics: Mapping[str, float] = METRICS,
    tags: Mapping[str, str] = TAGS,
) -> RunRecord:
    return RunRecord(run_id, RunKey(stage, fingerprint), "name", status, settings, metrics, tags)


def differing(first: RunRecord, second: RunRecord, *inputs: Mapping[str, str]) -> dict[str, list]:
    pair = (inputs[0], inputs[1]) if inputs else ({}, {})
    return {
        part.name: [(one.name, one.first, one.second, one.change) for one in part.differences]
        for part in compare(first, second, pair).aspects
        if part.differences
    }


def test_equal_runs_have_no_difference() -> None:
    text = "\n".join(lines(compare(run(), run("b" * 32))))
    assert not compare(run(), run("b" * 32)).differs
    assert text.count("nothing differs") == 5
    assert text.endswith("Nothing differs.")
    assert "\n".join(lines(compare(run(), run()))).endswith("They are the same run.")


def test_each_difference_stands_under_what_it_is_of() -> None:
    second = run(
        "b" * 32,
        "f2",
        settings={"seed": "1", "head_lr": "2.0", "optimiser.lr": "0.1"},
        metrics={"miou": 31.5, "iou/car": 50.0, "system/cpu": 9.0, "new": 1.0},
        tags={
            **TAGS,
            "git.dirty": "true",
            "sha256.code.diff": "33",
            "version.torch": "2.14.0",
            "sha256.packages.txt": "44",
            "olivine.pretrained": "p2",
            "olivine.sweep": "two",
            "mlflow.user": "you",
        },
    )
    assert differing(run(), second, {"data.train": "d1"}, {"data.train": "d2"}) == {
        "settings": [("head_lr", "–", "2.0", ""), ("seed", "0", "1", "")],
        "code": [("git.dirty", "false", "true", ""), ("sha256.code.diff", "11", "33", "")],
        "data and labels": [
            ("data.train", "d1", "d2", ""),
            ("olivine.pretrained", "p1", "p2", ""),
        ],
        "environment": [
            ("sha256.packages.txt", "22", "44", ""),
            ("version.torch", "2.13.0", "2.14.0", ""),
        ],
        "results": [("miou", "30", "31.5", "+1.5"), ("new", "–", "1", "")],
    }


def test_comparing_the_other_way_round_swaps_the_columns() -> None:
    first, second = run(), run("b" * 32, metrics={"miou": 20.0})
    forth = compare(first, second).aspects[-1].differences
    back = compare(second, first).aspects[-1].differences
    assert [(d.name, d.first, d.second) for d in forth] == [
        (d.name, d.second, d.first) for d in back
    ]


def test_what_no_run_recorded_is_not_called_equal() -> None:
    text = "\n".join(lines(compare(run(tags={}), run("b" * 32, tags={}))))
    for part in ("code", "data and labels", "environment"):
        assert f"{part}: not recorded" in text
    assert "settings: nothing differs" in text


def test_fingerprints_tell_what_settings_do_not() -> None:
    other_data = compare(run(), run("b" * 32, "f2"))
    assert "the data, the labels or the weights" in other_data.note
    again = compare(run(), run("b" * 32, metrics={"miou": 30.1}))
    assert "chance, code or hardware" in again.note
    assert compare(run(), run("b" * 32, "f2", settings={"seed": "9"})).note == ""


def test_a_number_that_is_none_equals_itself() -> None:
    nan = run(metrics={"miou": float("nan")})
    assert differing(nan, run("b" * 32, metrics={"miou": float("nan")})) == {}


STORE = [
    run("11aa", "f00d", "trial"),
    run("22bb", "f00d", "evaluate", "FAILED"),
    run("33cc", "f00d", "evaluate"),
    run("44dd", "beef", "trial"),
    run("55ee", "cafe", "pretrain"),
    run("f0ff", "dead", "label"),
]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("11aa", "44"), ("11aa", "44dd")),
        (("f00", "44dd"), ("11aa", "44dd")),  # of one stage if they can be
        (("f00d", "f00d"), ("33cc", "33cc")),  # finished before failed, evaluation before trial
        (("f00d", "cafe"), ("33cc", "55ee")),
        (("22", "33"), ("22bb", "33cc")),  # an id means its run, whatever became of it
    ],
)
def test_a_word_means_a_run(words: tuple[str, str], ids: tuple[str, str]) -> None:
    assert tuple(one.run_id for one in find_runs(words, STORE, "store")) == ids


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nope", "11"), r"No run in store .* begins with 'nope'"),
        (("11", ""), r"begins with ''"),
        (("f0", "11"), r"'f0' may be run f0ff, fingerprint f00d: give more"),
    ],
)
def test_a_word_that_means_none_or_several_is_refused(words: tuple[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        find_runs(words, STORE, "store")
