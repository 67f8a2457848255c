import math
import statistics

import pandas as pd
import pytest

from olivine.errors import UserError
from olivine.sweep import PlannedTrial, SweepPlan
from olivine.tabulate import (
    ablation_markdown,
    ablation_table,
    missing_trials,
    published,
    published_rows,
    write_ablation,
)
from olivine.tracking import RunKey, RunRecord

SCORES = {"PPKT": [30.0, 32.0, 34.0], "OLIVINE": [40.0, 41.0, 45.0]}


def record(fingerprint: str, metrics, status="FINISHED", **tags) -> RunRecord:
    return RunRecord("id", RunKey("trial", fingerprint), fingerprint, status, {}, metrics, tags)


def runs() -> list[RunRecord]:
    return [
        record(f"{row}{seed}", {"miou": score, "iou/car": score / 2})
        for row, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]


def plan(num_seeds: int = 3) -> SweepPlan:
    trials = {
        f"{row}{seed}": PlannedTrial(row=row, seed=seed)
        for row in SCORES
        for seed in range(num_seeds)
    }
    return SweepPlan(name="components", metric="miou", trials=trials)


def test_mean_and_sample_deviation_over_seeds():
    table = ablation_table(runs(), plan().rows(), ["miou", "iou/car"])
    assert list(table.columns) == ["method", "metric", "mean", "std", "n"]
    for line in table[table["metric"] == "miou"].itertuples():
        scores = SCORES[line.method]
        assert line.mean == pytest.approx(statistics.mean(scores))
        assert line.std == pytest.approx(statistics.stdev(scores))
        assert line.n == 3


def test_one_seed_has_no_deviation_and_no_seed_no_mean():
    left = [run for run in runs() if run.key.fingerprint in {"PPKT0"}]
    table = ablation_table(left, plan().rows(), ["miou"]).set_index("method")
    assert (table.loc["PPKT", "mean"], table.loc["PPKT", "n"]) == (30.0, 1)
    assert math.isnan(table.loc["PPKT", "std"])
    assert math.isnan(table.loc["OLIVINE", "mean"])
    assert table.loc["OLIVINE", "n"] == 0
    text = ablation_markdown(table.reset_index(), "t")
    assert "**30.00 ± –**" in text
    assert "| OLIVINE | –" in text


def test_only_the_newest_finished_run_of_a_fingerprint_counts():
    again = [
        record("OLIVINE0", {"miou": 100.0}),
        record("OLIVINE1", {"miou": 0.0}, "FAILED"),
        *runs(),
    ]
    table = ablation_table(again, {"OLIVINE": ["OLIVINE0", "OLIVINE1", "OLIVINE2"]}, ["miou"])
    assert table["mean"].item() == pytest.approx((100 + 41 + 45) / 3)


def test_what_is_missing_says_why():
    known = [
        record("OLIVINE0", {}, "FAILED", **{"olivine.failure": "out of memory"}),
        record("OLIVINE1", {}, "RUNNING"),
        *[run for run in runs() if run.name.startswith("PPKT")],
    ]
    missing = missing_trials(known, plan())
    assert missing.to_dict("list") == {
        "method": ["OLIVINE"] * 3,
        "seed": [0, 1, 2],
        "why": ["failed: out of memory", "running", "never started"],
    }


def test_files_hold_the_columns_the_best_and_what_is_in_print(tmp_path):
    left = [run for run in runs() if run.name != "OLIVINE2"]
    csv, markdown = write_ablation(tmp_path, left, plan(), ["miou"])
    read = pd.read_csv(csv)
    assert list(read.columns) == ["method", "metric", "mean", "std", "n"]
    pd.testing.assert_frame_equal(read, ablation_table(left, plan().rows(), ["miou"]))
    text = markdown.read_text()
    assert "**40.50 ± 0.71**" in text
    assert "≈ 36.9" in text
    assert "47.3" in text
    assert "`OLIVINE`, seed 2: never started" in text


def test_a_published_number_is_in_no_mean():
    with_print = ablation_markdown(
        ablation_table(runs(), plan().rows(), ["miou"]), "t", in_print=published("components")
    )
    assert "32.00 ± 2.00" in with_print


def test_published_numbers_know_their_sources():
    methods = published("methods").set_index("method")
    assert methods.loc["OLIVINE", "value"] == 50.09
    assert published("methods", "finetune_1").set_index("method").loc["Seal", "value"] == 45.84
    rows = published_rows("methods").set_index("method")["value"]
    assert (rows["OLIVINE v1"], rows["SLidR, 10 %"]) == (47.3, 59.84)
    components = published("components").set_index("method")
    assert components.loc["+ vMF", "how"] == "derived"
    assert components["source"].str.len().min() > 10
    assert published("nothing").empty


def test_lower_is_better_where_said():
    table = ablation_table(runs(), plan().rows(), ["miou"])
    assert "**32.00" in ablation_markdown(table, "t", lower_is_better=["miou"])


def test_what_cannot_be_tabulated_is_told():
    with pytest.raises(UserError, match="Did you mean 'miou'"):
        ablation_table(runs(), plan().rows(), ["mious"])
    with pytest.raises(UserError, match="No trial of this table has finished"):
        ablation_table([], plan().rows(), ["miou"])
