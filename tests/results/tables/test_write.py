"""What a table draws of a small store: a line per pretraining, not per row that used it."""

import pandas as pd
import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.spec import Spec
from olivine.experiments.sweep_plan import PlannedTrial, SweepPlan
from olivine.results import figures
from olivine.results.tables.spec import TableSpec
from olivine.results.tables.write import write_results
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey
from olivine.training.evaluate import PRETRAINED

# fingerprint of the trial -> row, its pretraining's fingerprint
TRIALS = {
    "t1": ("PPKT", "p1"),
    "t2": ("DepthContrast", "p2"),
    "t3": ("PPKT, few labels", "p1"),
    "t4": ("random", "p3"),
}
LOSSES = {
    "p1": {"pixel": [4.0, 2.0, 1.0], "class": [9.0, 9.0, 9.0]},
    "p2": {"scan": [0.0, 3.0, 6.0]},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    tracker = MlflowTracker(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db", "tests")
    tracker.ensure_store()
    plan = SweepPlan(
        name="small",
        metric="miou",
        trials={name: PlannedTrial(row=row, seed=0) for name, (row, _) in TRIALS.items()},
    )
    with tracker.run(RunKey("sweep", "s"), "sweep", plan):
        pass
    for name, terms in LOSSES.items():
        with tracker.run(RunKey("pretrain", name), name, Spec()) as run:
            for step in range(3):
                counts = {f"pretrain/{term}/num_pairs": 8.0 for term in terms}
                values = {f"pretrain/{term}": losses[step] for term, losses in terms.items()}
                run.log_metrics({**counts, **values, "pretrain/lr": 0.1}, step=step)
    for score, (name, (_, pretrained)) in enumerate(TRIALS.items()):
        for stage in ("trial", "evaluate"):
            with tracker.run(RunKey(stage, name), name, Spec(), {PRETRAINED: pretrained}) as run:
                run.log_metrics({"miou": float(score), "accuracy": 50.0}, step=0)
    return tracker


@pytest.fixture
def drawn(monkeypatch):
    """The curves that are drawn, beside the file."""
    kept: list[pd.DataFrame] = []
    draw = figures.learning_curves

    def keep(curves, *args):
        kept.append(curves)
        return draw(curves, *args)

    monkeypatch.setattr(figures, "learning_curves", keep)
    return kept


def test_rows_that_share_a_pretraining_have_one_line_of_its_first_term(store, drawn, tmp_path):
    runtime = Runtime(out=str(tmp_path))
    results = write_results("small", runtime, store, tmp_path / "table")
    assert {path.name for path in results.files} == {
        "ablation.md", "ablation.tex", "ablation.csv", "ablation.html", "scores.png",
        "scores.pdf", "learning.png", "learning.pdf",
    }  # fmt: skip
    assert all(path.stat().st_size for path in results.files)
    (curves,) = drawn
    lines = {name: list(line["value"]) for name, line in curves.groupby("name", sort=False)}
    assert lines == {"PPKT: pixel": [2.0, 1.0, 0.5], "DepthContrast: scan": [0.0, 1.0, 2.0]}
    assert dict(zip(curves["name"], curves["method"], strict=True)) == {
        "PPKT: pixel": "PPKT",
        "DepthContrast: scan": "DepthContrast",
    }


def test_a_table_of_other_rows_has_no_figures_and_the_formats_asked_for(store, tmp_path):
    runtime, spec = Runtime(out=str(tmp_path)), TableSpec(by=("seed",), metrics=("miou",))
    results = write_results("small", runtime, store, tmp_path, spec=spec, formats=["md", "tex"])
    assert [path.name for path in results.files] == ["ablation.md", "ablation.tex"]
    assert results.table == (tmp_path / "ablation.md").read_text()


def test_an_unknown_sweep_is_named_beside_the_known(store, tmp_path):
    with pytest.raises(UserError, match=r"No sweep 'smal'.*it has small.*small"):
        write_results("smal", Runtime(out=str(tmp_path)), store, tmp_path)
