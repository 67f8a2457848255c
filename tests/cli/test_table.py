"""`olivine table` as a person types it."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from olivine.cli import main as cli
from olivine.core.spec import Spec
from olivine.experiments.sweep_plan import ROW, SEED, SWEEP, PlannedTrial, SweepPlan
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey

SCORES = {"PPKT": [30.0, 32.0, 34.5], "A, b=1": [40.0, 41.0, 45.0]}


class Settings(Spec):
    protocol: str = "linear_probe"
    rate: float = 0.5
    seed: int = 0


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder of a store with a sweep of two rows."""
    folder = tmp_path_factory.mktemp("out")
    tracker = MlflowTracker(f"sqlite:///{folder}/mlflow.db", "tests")
    tracker.ensure_store()
    prints = {(row, s): f"{place}{s}" for place, row in enumerate(SCORES) for s in range(3)}
    trials = {name: PlannedTrial(row=row, seed=seed) for (row, seed), name in prints.items()}
    with tracker.run(RunKey("sweep", "s"), "small", SweepPlan(
        name="small", metric="miou", trials=trials
    )):  # fmt: skip
        pass
    for (row, seed), name in prints.items():
        config = Settings(seed=seed, rate=1.0 if row == "PPKT" else 2.0)
        tags = {ROW: row, SEED: str(seed), SWEEP: "small"}
        with tracker.run(RunKey("trial", name), row, config, tags) as run:
            run.log_metrics({"miou": SCORES[row][seed], "accuracy": 50.0, "cost": 1.0 + seed}, 0)
    return folder


def table(out, folder, *arguments):
    return cli.main(["table", *arguments, "--set", f"runtime.out={out}", "--folder", str(folder)])


def test_rows_columns_metrics_and_baseline_are_as_typed(out, tmp_path, capsys):
    arguments = ["small", "--rows", "A, b=1; PPKT", "--baseline", "PPKT", "--metrics", "miou,cost"]
    assert table(out, tmp_path, *arguments, "--columns", "protocol", "--format", "md,tex") == 0
    written = capsys.readouterr().out
    assert "| method | linear_probe: mIoU (%)" in written
    assert "| A, b=1 |" in written
    assert "ahead over seeds, no interval over scenes" in written
    assert "Lower is better for cost." in written
    assert {path.name for path in tmp_path.iterdir()} == {"ablation.md", "ablation.tex"}
    client = MlflowClient(f"sqlite:///{out}/mlflow.db")
    (sweep,) = MlflowTracker(f"sqlite:///{out}/mlflow.db").records("sweep")
    kept = {Path(file.path).name for file in client.list_artifacts(sweep.run_id, "table")}
    assert kept == {"ablation.md", "ablation.tex"}


def test_all_trials_are_told_apart_by_sweep_and_row_or_as_asked(out, tmp_path, capsys):
    assert table(out, tmp_path, "all") == 0
    assert "| small, PPKT" in capsys.readouterr().out
    assert table(out, tmp_path, "all", "--by", "rate", "--lower", "miou") == 0
    written = capsys.readouterr().out
    assert "| 1.0  | **32.17 ± 2.25**" in written
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal"], "Did you mean 'small'?"),
        (["small", "--rows", "PPTK"], "Did you mean 'PPKT'?"),
        (["small", "--by", "rat"], "Did you mean 'rate'?"),
        (["small", "--metrics", "muio"], "Did you mean 'miou'?"),
        (["small", "--baseline", "ppkt"], "No row 'ppkt' in this table."),
        (["small", "--format", "htm"], "Did you mean 'html'?"),
        (["small", "--test", "student"], "'auto', 'pooled', 't' or 'wilcoxon'"),
        (["small", "--published", "method"], "Did you mean 'methods'?"),
        (["small", "--columns", "x", "--bye", "x"], "No such option: --bye"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_name(out, tmp_path, capsys, arguments, message):
    status = table(out, tmp_path, *arguments)
    written = capsys.readouterr()
    assert status == cli.USER_ERROR
    assert message in written.err
    assert written.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
