"""Notes about means over runs of different code, packages or devices."""

from dataclasses import replace

from olivine.results.tables.cells import make_table
from olivine.results.tables.code_versions import (
    EVALUATION,
    PRETRAINING,
    TRIAL,
    notes_on_code,
    versions,
)
from olivine.results.tables.runs import TableRuns
from olivine.results.tables.spec import TableSpec
from tests.support.run_stores.table_runs import table_runs

SCORES = {"random": [8.0, 9.0, 7.0], "PPKT": [30.0, 32.0, 34.0]}
TAGS = {
    "git.commit": "a" * 40,
    "git.dirty": "false",
    "version.olivine": "0.3.0",
    "version.torch": "2.8.0",
    "hardware.cpu": "Xeon",
}


def made(*changes, stage=EVALUATION):
    return [(seed, versions(stage, {**TAGS, **change})) for seed, change in enumerate(changes)]


def test_runs_alike_have_no_note():
    assert list(notes_on_code({"`a`": made({}, {}), "`b`": made({}, {})})) == []
    assert list(notes_on_code({"`a`": [(0, {}), (1, {})]})) == []


def test_a_mean_over_two_commits_names_its_row_and_its_seeds():
    (note,) = notes_on_code({"`a`": made({}, {"git.commit": "b" * 40}, {}), "`b`": made({}, {})})
    assert note == (
        "A mean is over runs of more than one code: `a` (commit aaaaaaaaaaaa in seeds 0, 2; commit "
        "bbbbbbbbbbbb in seed 1). Its spread is not that of the seeds alone."
    )


def test_two_dirty_trees_of_one_commit_differ():
    trees = [{"git.dirty": "true", "sha256.code.diff": digest * 32} for digest in ("1f", "2f")]
    mixed, dirty = notes_on_code({"`a`": made(*trees)})
    assert "with uncommitted changes (1f1f1f1f) in seed 0" in mixed
    assert "with uncommitted changes (2f2f2f2f) in seed 1" in mixed
    assert dirty == "Made by code with uncommitted changes: `a`."
    (dirty,) = notes_on_code({"`a`": made(trees[0], trees[0]), "`b`": made(trees[0])})
    assert dirty == "Made by code with uncommitted changes: `a`, `b`."


def test_torch_devices_and_the_version_of_an_installed_package_count():
    torch = made({}, {"version.torch": "2.9.0"})
    assert ["more than one torch" in note for note in notes_on_code({"`a`": torch})] == [True]
    device = made({}, {"hardware.gpu": "NVIDIA H100"})
    assert ["more than one device" in note for note in notes_on_code({"`a`": device})] == [True]
    wheel = {name: text for name, text in TAGS.items() if not name.startswith("git")}
    runs = [(0, versions(TRIAL, wheel)), (1, versions(TRIAL, wheel | {"version.olivine": "0.2"}))]
    told = list(notes_on_code({"`a`": runs}))
    assert "olivine 0.3.0 in seed 0; olivine 0.2 in seed 1" in told[0]


def test_rows_of_different_code_are_told_and_so_is_a_pretraining_of_before():
    (note,) = notes_on_code({"`a`": made({}), "`b`": made({"version.torch": "2.9.0"})})
    assert note == "The rows are of more than one torch: 2.8.0: `a`; 2.9.0: `b`."
    runs = made({}, {})
    before = versions(PRETRAINING, TAGS | {"git.commit": "c" * 40})
    runs[1] = (1, {**runs[1][1], **before})
    (note,) = notes_on_code({"`a`": runs})
    assert "pretraining commit cccccccccccc, evaluation commit aaaaaaaaaaaa in seed 1" in note


def test_a_table_notes_what_made_its_runs():
    runs = table_runs(SCORES)
    newer = versions(EVALUATION, TAGS | {"git.commit": "b" * 40})
    known = {run.fingerprint: versions(EVALUATION, TAGS) for run in runs.runs}
    runs = runs.with_versions({**known, runs.runs[-1].fingerprint: newer})
    (note,) = make_table(runs, TableSpec(metrics=("miou",)), "t").notes
    assert "`PPKT` (commit aaaaaaaaaaaa in seeds 0, 1; commit bbbbbbbbbbbb in seed 2)" in note
    unfinished = tuple(
        replace(run, why="failed") if run.fingerprint == runs.runs[-1].fingerprint else run
        for run in runs.runs
    )
    assert make_table(TableRuns(unfinished), TableSpec(metrics=("miou",)), "t").notes == ()
