"""What a report reads from a store: an ablation, a search, and a sweep that has only begun."""

from pathlib import Path

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.results.sweep_report.read import SweepReport, read_report
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from tests.support.run_stores.filled_store import PROVENANCE, write_ablation, write_search

FATES = {"OLIVINE, seed 1": "CUDA out of memory", "+ vMF, seed 1": "", "random, seed 1": "never"}


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    write_ablation(folder, FATES)
    return folder


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> SweepReport:
    folder = tmp_path_factory.mktemp("search")
    write_search(folder)
    return read("wide", folder)


def read(name: str, folder: Path, **settings: str) -> SweepReport:
    runtime = Runtime(out=str(folder))
    return read_report(name, runtime, MlflowTracker(runtime.store_uri()), **settings)


def test_an_ablation_is_told_by_rows(ablation: Path) -> None:
    report = read("small", ablation)
    assert not report.is_search
    assert [trial.name for trial in report.trials] == [
        f"{row}, seed {seed}" for seed in (0, 1) for row in ("random", "+ vMF", "OLIVINE")
    ]
    fates = {trial.name: (trial.status, trial.reason) for trial in report.trials}
    assert fates["OLIVINE, seed 1"] == ("failed", "CUDA out of memory")
    assert fates["+ vMF, seed 1"] == ("running", "")
    assert fates["random, seed 1"] == ("never started", "")
    assert report.table is not None
    assert report.table.cell("OLIVINE", "", "miou").mean == 30.0
    assert [point.name for point in report.points if point.on_front] == [
        "random",
        "+ vMF",
        "OLIVINE",
    ]
    assert report.best is not None
    assert (report.best.name, report.best.score) == ("OLIVINE", 30.0)
    assert [setting.name for setting in report.settings] == [
        "pretrained.method.terms.class.weight",
        "pretrained.num_epochs",
    ]
    assert "too few" in report.importance.why_not
    assert report.environment["git.commit"] == {PROVENANCE["git.commit"]: 5}


def test_shared_work_is_counted_once_and_unfinished_work_too(ablation: Path) -> None:
    # Pretrainings took 0.9 of a trial's hours, of all five that began; evaluations 0.1 of three.
    hours = [0.5 + 0.25 * place for place in range(6)]
    began, ended = [0, 1, 2, 4, 5], [0, 1, 2]
    expected = sum(0.9 * hours[i] for i in began) + sum(0.1 * hours[i] for i in ended)
    assert read("small", ablation).device_hours == pytest.approx(expected)


def test_curves_are_told_apart_by_rows_over_seeds(tmp_path: Path) -> None:
    write_ablation(tmp_path)
    curves = {one.name: one for one in read("small", tmp_path).curves}
    assert set(curves) == {"loss", "probe-miou", "probe"}
    lines = curves["loss"].lines
    assert curves["loss"].named == ("random", "+ vMF", "OLIVINE")
    assert lines.groupby(["method", "seed"]).size().to_dict() == {
        (row, seed): 10 for row in ("random", "+ vMF", "OLIVINE") for seed in (0, 1)
    }
    assert lines.groupby(["method", "seed"])["value"].median().round(9).eq(1).all()
    probe = curves["probe-miou"].lines
    last = probe[probe["step"] == 100].set_index(["method", "seed"])["value"]
    assert last["OLIVINE", 1] > last["OLIVINE", 0] > last["random", 0]


def test_a_run_that_goes_on_has_a_curve(ablation: Path) -> None:
    loss = next(one for one in read("small", ablation).curves if one.name == "loss")
    seeds = loss.lines[loss.lines["method"] == "+ vMF"]["seed"]
    assert set(seeds) == {0, 1}, "its pretraining is found by the trial that it is part of"


def test_rows_are_repeated_by_commands_that_name_this_store(ablation: Path) -> None:
    report = read("small", ablation, more=["--set", f"runtime.out={ablation}"])
    commands = {repeat.name: repeat.command for repeat in report.repeats}
    assert list(commands) == ["random", "+ vMF", "OLIVINE"]
    assert "--set pretrained.num_epochs=0" in commands["random"]
    assert "for seed in 0 1; do" in commands["OLIVINE"], "also of a seed that failed"
    assert all(f"runtime.out={ablation}" in command for command in commands.values())


def test_a_search_is_told_by_points(search: SweepReport) -> None:
    assert search.is_search
    assert search.table is None
    assert len(search.trials) == 120
    statuses = [trial.status for trial in search.trials]
    assert (statuses.count("given up"), statuses.count("failed")) == (12, 12)
    assert len(search.finished) == 96
    best = search.best_first[0]
    assert best.score == max(trial.score for trial in search.finished)
    assert search.best is not None
    assert search.best.name == best.name == f"#{best.number}"
    front = [point for point in search.points if point.on_front]
    assert front == sorted(front, key=lambda point: (point.hours, point.score))
    assert len(search.repeats) == 120
    assert all(repeat.command for repeat in search.repeats)


def test_the_search_finds_what_decides(search: SweepReport) -> None:
    names = {setting.name for setting in search.settings}
    assert names == {
        "pretrained.optimiser.lr",
        "pretrained.num_epochs",
        "pretrained.method.terms.compact.weight",
        "protocol",
    }
    shares = dict(
        zip((setting.name for setting in search.settings), search.importance.shares, strict=True)
    )
    decides = {"pretrained.optimiser.lr", "pretrained.num_epochs"}
    assert set(sorted(shares, key=shares.__getitem__)[-2:]) == decides


def test_curves_of_a_search_name_the_best_that_have_one(search: SweepReport) -> None:
    for curves in search.curves:
        there = set(curves.lines["method"])
        ranked = [trial.name for trial in search.best_first if trial.name in there]
        assert list(curves.named) == ranked[:5]
    loss = next(one for one in search.curves if one.name == "loss")
    assert loss.lines["method"].nunique() == 120


def test_a_sweep_of_which_nothing_finished_is_told_all_the_same(tmp_path: Path) -> None:
    rows = ("random", "+ vMF", "OLIVINE")
    write_ablation(tmp_path, {f"{row}, seed {seed}": "" for row in rows for seed in (0, 1)})
    report = read("small", tmp_path)
    assert (report.table, report.points, report.settings, report.best) == (None, (), (), None)
    assert [trial.status for trial in report.trials] == ["running"] * 6
    assert {one.name for one in report.curves} == {"loss", "probe-miou"}


def test_mistakes_are_told_in_a_sentence(ablation: Path) -> None:
    with pytest.raises(UserError, match=r"No sweep 'smal'.*small"):
        read("smal", ablation)
    with pytest.raises(UserError, match=r"No row 'rand'.*random"):
        read("small", ablation, baseline="rand")
