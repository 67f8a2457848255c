"""What a table's command asks of which sweep; the sweeps themselves run elsewhere."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from olivine.cli import sweep_commands
from olivine.cli.main import build_parser
from olivine.cli.settings import INCOMPLETE
from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.experiments.plan import ROW, SEED, PlannedTrial, SweepPlan
from olivine.experiments.recipes import demo, recipe
from olivine.experiments.sweep_files import find_sweep
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
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[str]]]:
    """Take the place of running a sweep: note its name, rows and settings."""
    found: list[tuple[str, str, list[str]]] = []

    def note(arguments: Namespace) -> int:
        found.append((arguments.name, arguments.rows, arguments.set))
        return 0

    monkeypatch.setattr(sweep_commands, "sweep", note)
    return found


@pytest.fixture
def reproduce(tmp_path: Path) -> Callable[..., int]:
    """Run the command over a store without a run."""

    def run(*words: str) -> int:
        out = ["--set", f"runtime.out={tmp_path}"]
        return sweep_commands.reproduce(build_parser().parse_args(["reproduce", *words, *out]))

    return run


def test_table1_says_what_it_leaves_out_without_semantic_kitti(asked, reproduce, tmp_path, capsys):
    assert reproduce("table1") == INCOMPLETE
    out = [f"runtime.out={tmp_path}"]
    every = [(name, list(find_sweep(name).rows), out) for name in ("methods", "label_fraction")]
    assert [(name, rows.split(";"), settings) for name, rows, settings in asked] == every
    assert "left out is label_fraction_semantickitti" in capsys.readouterr().out


def test_table1_takes_its_column_of_semantic_kitti_from_its_own_folder(asked, reproduce):
    assert reproduce("table1", "--semantic-kitti", "/kitti") == 0
    nuscenes, last = asked[:2], asked[2]
    assert not any("/kitti" in setting for _, _, settings in nuscenes for setting in settings)
    name, rows, settings = last
    assert settings[1:] == ["train.root=/kitti", "val.root=/kitti"]
    chosen = find_sweep(name).only(rows.split(";")).rows
    assert list(chosen) == [row for row in find_sweep(name).rows if row.endswith(", 1 %")]
    assert len(chosen) == 11


@pytest.mark.parametrize(
    "words",
    [["--semantic-kitti", "/k"], ["--set", "train.root=/k", "--set", "val.root=/k"]],
    ids=["option", "settings"],
)
def test_table2_has_all_shares(asked, reproduce, words):
    assert reproduce("table2", *words) == 0
    ((name, rows, settings),) = asked
    assert (name, rows.split(";")) == (
        "label_fraction_semantickitti",
        list(find_sweep("label_fraction_semantickitti").rows),
    )
    assert {"train.root=/k", "val.root=/k"} <= set(settings)


def test_each_sweep_takes_the_rows_that_it_has_and_one_with_none_is_left_out(asked, reproduce):
    reproduce("table1", "--semantic-kitti", "/k", "--rows", "random, 1 %; PPKT, 5 %")
    assert [(name, rows) for name, rows, _ in asked] == [
        ("label_fraction", "random, 1 %;PPKT, 5 %"),
        ("label_fraction_semantickitti", "random, 1 %"),
    ]


def test_a_row_that_no_sweep_has_is_told_before_one_runs(asked, reproduce):
    with pytest.raises(UserError, match=r"No sweep of table6 has a row 'PKT'. Did you mean 'PPKT'"):
        reproduce("table6", "--rows", "OLIVINE; PKT")
    assert not asked


def test_an_unknown_table_is_told_with_the_nearest(reproduce):
    with pytest.raises(UserError, match=r"No 'table7b' to reproduce. Did you mean 'table7'\?"):
        reproduce("table7b")


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

    def leave_runs(arguments: Namespace) -> int:
        rows = {row: evaluated(settings) for row, settings in asked[arguments.name].items()}
        trials = {c.fingerprint(): PlannedTrial(row=row, seed=0) for row, c in rows.items()}
        plan = SweepPlan.of(find_sweep(arguments.name), ()).model_copy(update={"trials": trials})
        with tracker.run(RunKey("sweep", arguments.name), arguments.name, plan):
            pass
        for row, config in rows.items():
            key = RunKey("trial", config.fingerprint())
            if tracker.finished(key) is None:
                with tracker.run(key, row, config, {ROW: row, SEED: "0"}) as run:
                    run.log_metrics({"miou": 10.0}, 0)
        return 0

    monkeypatch.setattr(sweep_commands, "sweep", leave_runs)
    assert reproduce("table1", "--semantic-kitti", "/kitti") == 0
    told = capsys.readouterr().out
    table = (tmp_path / "tables" / "table1" / "ablation.md").read_text()
    assert table.strip() in told
    head, _, line = (row for row in table.splitlines() if row.startswith("|"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    cells = dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
    assert cells["method"] == "PPKT"
    asked_names = ["linear probe", "1 %", "10 %", "SemanticKITTI 1 %"]  # in the paper's order
    assert names == ["method", *asked_names, "n", *(f"{name}, published" for name in asked_names)]
    published = [cells[f"{name}, published"] for name in asked_names]
    assert [float(cell) for cell in published] == [35.9, 37.8, 60.25, 44.0]
