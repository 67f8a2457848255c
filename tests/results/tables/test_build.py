"""The stage on a real store: which runs it reads, and what it writes."""

import contextlib

import pandas as pd
import pytest

from olivine.core.errors import UserError
from olivine.core.spec import Spec
from olivine.core.storage import Store
from olivine.experiments.sweep_plan import ROW, SEED, SWEEP, PlannedTrial, SweepPlan
from olivine.results.tables.build import (
    find_sweep_run,
    plan_of,
    scene_reader,
    tabulate,
    write_table,
)
from olivine.results.tables.spec import TableSpec
from olivine.tracking.mlflow_backend.tracker import MlflowTracker
from olivine.tracking.tracker import RunKey
from olivine.training.evaluate import PRETRAINED
from olivine.training.validation import confusions_name
from tests.support.run_stores.table_runs import scene_counts

SCORES = {"PPKT": [30.0, 32.0, 34.5], "OLIVINE": [40.0, 41.0, 45.0], "OLIVINE, 10 %": [60.0, 61.5]}


class Settings(Spec):
    """As much of an experiment as a table asks for."""

    protocol: str = "linear_probe"
    rate: float = 0.5
    seed: int = 0


PRINTS = {(row, seed): f"{place}{seed}" for place, row in enumerate(SCORES) for seed in range(3)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A sweep of three rows, the last one's third seed failed."""
    tracker = MlflowTracker(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db", "tests")
    tracker.ensure_store()
    trials = {name: PlannedTrial(row=row, seed=seed) for (row, seed), name in PRINTS.items()}
    plan = SweepPlan(name="small", metric="miou", published="methods", trials=trials)
    with tracker.run(RunKey("sweep", "s"), "small", plan):
        pass
    for (row, seed), name in PRINTS.items():
        config = Settings(seed=seed, rate=1.0 if row == "PPKT" else 2.0)
        tags = {ROW: row, SEED: str(seed), SWEEP: "small", PRETRAINED: f"p{seed}"}
        for stage, prefix in (("trial", ""), ("evaluate", "val/")):
            with (
                contextlib.suppress(RuntimeError),
                tracker.run(RunKey(stage, name), row, config, tags) as run,
            ):
                if seed >= len(SCORES[row]):
                    raise RuntimeError("out of memory")
                score = SCORES[row][seed]
                run.log_metrics({f"{prefix}miou": score, f"{prefix}accuracy": 50.0}, 0)
    for seed in range(3):
        with tracker.run(RunKey("pretrain", f"p{seed}"), "p", Settings(seed=seed)) as run:
            run.log_metrics({"pretrain/device_hours": 1.5 + seed}, 0)
    return tracker


def nothing(fingerprint):
    """Nobody left counts."""


@pytest.fixture
def plan(store):
    return plan_of(find_sweep_run("small", store, store.uri), store)


def test_a_sweep_becomes_a_table(store, plan):
    table = tabulate(plan, TableSpec(baseline="PPKT"), store, nothing)
    assert table.spec.metrics == ("miou", "accuracy")
    assert table.rows == tuple(SCORES)
    olivine = table.cell("OLIVINE", "", "miou")
    assert (olivine.mean, olivine.n) == (pytest.approx(42.0), 3)
    assert olivine.published.value == 50.09
    assert olivine.compared.verdict == "ahead over seeds, no interval over scenes"
    tuned = table.cell("OLIVINE, 10 %", "", "miou")
    assert (tuned.n, tuned.compared.verdict) == (2, "too few seeds (n=2)")
    (missing,) = table.missing
    assert (missing.name, missing.seed) == ("OLIVINE, 10 %", 2)
    assert missing.why == "failed: RuntimeError: out of memory"


def test_a_published_number_is_of_the_runs_protocol(store, plan):
    table = tabulate(plan, TableSpec(), store, nothing)
    assert table.cell("OLIVINE, 10 %", "", "miou").published is None  # its runs are linear probes


def test_rows_are_any_setting_of_the_runs(store, plan):
    table = tabulate(plan, TableSpec(by=("rate",), columns=("protocol",)), store, nothing)
    assert (table.rows, table.columns) == (("1.0", "2.0"), ("linear_probe",))
    assert table.cell("1.0", "linear_probe", "miou").mean == pytest.approx(96.5 / 3)


def test_metrics_of_the_stages_behind_a_trial_are_found(store, plan):
    spec = TableSpec(metrics=("val/miou", "pretrain/device_hours"))
    table = tabulate(plan, spec, store, nothing)
    assert table.cell("OLIVINE", "", "val/miou").mean == pytest.approx(42.0)
    hours = table.cell("OLIVINE", "", "pretrain/device_hours")
    assert hours.mean == pytest.approx(2.5)
    assert table.cell("OLIVINE, 10 %", "", "pretrain/device_hours").rank == 1  # fewer hours


def test_all_trials_of_the_store_make_a_table_without_a_sweep(store):
    spec = TableSpec(by=("sweep", "row"), metrics=("miou",))
    table = tabulate(None, spec, store, nothing)
    assert table.rows == tuple(f"small, {row}" for row in SCORES)
    assert table.cell("small, PPKT", "", "miou").n == 3


def test_counts_per_scene_are_read_where_evaluations_left_them(store, plan, tmp_path):
    place = Store(tmp_path)
    for row, share in (("PPKT", 0.5), ("OLIVINE", 0.6)):
        for seed in range(3):
            place.write(confusions_name(PRINTS[row, seed]), scene_counts(share).to_bytes())
    table = tabulate(plan, TableSpec(baseline="PPKT"), store, scene_reader(str(tmp_path)))
    compared = table.cell("OLIVINE", "", "miou").compared
    assert compared.scenes[0] > 0
    assert compared.verdict == "better"
    lacking = table.cell("OLIVINE, 10 %", "", "miou").compared
    assert lacking.no_scenes == "2 of 4 runs have no counts per scene"


def test_files_are_written_in_the_formats_asked_for(store, plan, tmp_path):
    table = tabulate(plan, TableSpec(), store, nothing)
    files = write_table(tmp_path, table, ["md", "csv"])
    assert {path.name for path in tmp_path.iterdir()} == {"ablation.md", "ablation.csv"}
    read = pd.read_csv(files["csv"]).set_index(["method", "metric"])
    assert read.loc[("OLIVINE", "miou"), "mean"] == pytest.approx(42.0)
    assert "**60.75 ± 1.06**" in files["md"].read_text()
    with pytest.raises(UserError, match="it was given 'markdown'"):
        write_table(tmp_path, table, ["markdown"])


def test_what_there_is_not_is_told(store, plan):
    with pytest.raises(UserError, match=r"No sweep 'smal' in sqlite.*Did you mean 'small'"):
        find_sweep_run("smal", store, store.uri)
    with pytest.raises(UserError, match=r"Nothing is in print of a table 'method'.*'methods'"):
        tabulate(plan, TableSpec(published="method"), store, nothing)
    with pytest.raises(UserError, match="No run has a metric 'hours'"):
        tabulate(plan, TableSpec(metrics=("hours",)), store, nothing)
