"""What a table's command asks of which sweep; the sweeps themselves run elsewhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from olivine.cli import main as cli
from olivine.cli import reproduce as command
from olivine.cli.sweep import INCOMPLETE
from olivine.core.spec import Spec
from olivine.experiments.recipes import demo, recipe
from olivine.experiments.requests import SweepRequest
from olivine.experiments.sweep_files import find_sweep
from olivine.experiments.sweep_plan import ROW, SEED, PlannedTrial, SweepPlan
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey


def share(scene_step: int) -> dict[str, object]:
    return {"protocol": "finetune", "train.scene_step": scene_step}


def evaluated(settings: dict[str, object]) -> Spec:
    """Return an experiment on nuScenes or, if it says so, on SemanticKITTI."""
    settings = dict(settings)
    kind = settings.pop("train.kind", "")
    base = demo() if not kind else recipe("random_semantic_kitti")
    return base.override(settings)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SweepRequest]:
    """Take the place of running a sweep: note what is asked for."""
    found: list[SweepRequest] = []

    def note(request: SweepRequest, **how: bool) -> int:
        found.append(request)
        return 0

    monkeypatch.setattr(command, "run", note)
    return found


@pytest.fixture
def reproduce(tmp_path: Path) -> Callable[..., int]:
    """Run the command over a store without a run."""

    def run(*words: str) -> int:
        out = ["--set", f"runtime.out={tmp_path}"]
        return cli.main(["reproduce", *words, *out])

    return run


def test_table1_says_what_it_leaves_out_without_semantic_kitti(asked, reproduce, tmp_path, capsys):
    assert reproduce("table1") == INCOMPLETE
    assert [request.name for request in asked] == ["methods", "label_fraction"]
    for request in asked:
        assert list(request.rows) == list(find_sweep(request.name).rows)
        assert request.experiment.settings == (f"runtime.out={tmp_path}",)
    assert "left out is label_fraction_semantickitti" in capsys.readouterr().out


def test_table1_takes_its_column_of_semantic_kitti_from_its_own_folder(asked, reproduce):
    assert reproduce("table1", "--semantic-kitti", "/kitti") == 0
    nuscenes, last = asked[:2], asked[2]
    assert not any("/kitti" in text for one in nuscenes for text in one.experiment.settings)
    assert last.experiment.settings[1:] == ("train.root=/kitti", "val.root=/kitti")
    every = find_sweep(last.name).rows
    assert list(last.rows) == [row for row in every if row.endswith(", 1 %")]
    assert len(last.rows) == 11


@pytest.mark.parametrize(
    "words",
    [["--semantic-kitti", "/k"], ["--set", "train.root=/k", "--set", "val.root=/k"]],
    ids=["option", "settings"],
)
def test_table2_has_all_shares(asked, reproduce, words):
    assert reproduce("table2", *words) == 0
    (request,) = asked
    assert request.name == "label_fraction_semantickitti"
    assert list(request.rows) == list(find_sweep(request.name).rows)
    assert {"train.root=/k", "val.root=/k"} <= set(request.experiment.settings)


def test_each_sweep_takes_the_rows_that_it_has_and_one_with_none_is_left_out(asked, reproduce):
    reproduce("table1", "--semantic-kitti", "/k", "--rows", "random, 1 %; PPKT, 5 %")
    assert [(request.name, request.rows) for request in asked] == [
        ("label_fraction", ("random, 1 %", "PPKT, 5 %")),
        ("label_fraction_semantickitti", ("random, 1 %",)),
    ]


def test_a_row_that_no_sweep_has_is_told_before_one_runs(asked, reproduce, capsys):
    assert reproduce("table5", "--rows", "OLIVINE; PKT") == cli.USER_ERROR
    assert not asked
    expected = "No sweep of table5 has a row 'PKT'. Did you mean 'PPKT'"
    assert expected in capsys.readouterr().err


def test_an_unknown_table_is_told_with_the_nearest(reproduce, capsys):
    assert reproduce("Table7b") == cli.USER_ERROR
    assert "No 'Table7b' to reproduce. Did you mean 'table7'?" in capsys.readouterr().err


def test_the_sweeps_of_table1_become_the_one_table_that_they_are_in_print(
    reproduce, tmp_path, monkeypatch, capsys
):
    """Each sweep leaves its runs; the table has a row per method and a column per evaluation."""
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", cache=str(tmp_path / "cache"))
    asked = {
        "methods": {"PPKT": {}, "PPKT, 10 %": share(10)},
        "label_fraction": {"PPKT, 1 %": share(100), "PPKT, 10 %": share(10)},
        "label_fraction_semantickitti": {
            "PPKT, 1 %": {
                "protocol": "finetune", "train.kind": "semantic_kitti", "train.frame_step": 100,
            },
        },
    }  # fmt: skip

    def leave_runs(request: SweepRequest, **how: bool) -> int:
        rows = {row: evaluated(settings) for row, settings in asked[request.name].items()}
        trials = {c.fingerprint(): PlannedTrial(row=row, seed=0) for row, c in rows.items()}
        plan = SweepPlan.of(find_sweep(request.name), ()).model_copy(update={"trials": trials})
        with tracker.run(RunKey("sweep", request.name), request.name, plan):
            pass
        for row, config in rows.items():
            key = RunKey("trial", config.fingerprint())
            if tracker.finished(key) is None:
                with tracker.run(key, row, config, {ROW: row, SEED: "0"}) as run:
                    run.log_metrics({"miou": 10.0}, 0)
        return 0

    monkeypatch.setattr(command, "run", leave_runs)
    assert reproduce("table1", "--semantic-kitti", "/kitti") == 0
    told = capsys.readouterr().out
    table = (tmp_path / "tables" / "table1" / "ablation.md").read_text()
    assert table.strip() in told
    head, _, line = (row for row in table.splitlines() if row.startswith("|"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    cells = dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
    assert cells["mIoU (%) by method"] == "PPKT"
    asked_names = ["linear probe", "1 %", "10 %", "SemanticKITTI 1 %"]  # in the paper's order
    assert names == [
        "mIoU (%) by method",
        *asked_names,
        "n",
        *(f"{name}, published" for name in asked_names),
    ]
    published = [cells[f"{name}, published"] for name in asked_names]
    assert [float(cell) for cell in published] == [35.9, 37.8, 60.25, 44.0]
