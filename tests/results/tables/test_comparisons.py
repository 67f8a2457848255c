import math

import numpy as np
import pytest

from olivine.results.statistics import MIN_SCENES, holm, paired_test
from olivine.results.tables.cells import make_table
from olivine.results.tables.spec import TableSpec
from tests.support.run_stores.table_runs import reader, scene_counts, table_runs

SCORES = {
    "base": [10.0, 12.0, 14.0, 13.0],
    "much": [20.0, 22.5, 23.9, 23.0],
    "same": [10.1, 11.8, 14.1, 13.0],
    "worse": [7.0, 9.2, 10.9, 10.0],
}
NO_SCENES = "no interval over scenes"
SPEC = TableSpec(metrics=("miou",), baseline="base")


def compared(scores=SCORES, spec=SPEC, read=lambda _: None, settings=None, why=None):
    table = make_table(table_runs(scores, settings, why), spec, "t", read)
    found = {row: table.cell(row, "", spec.metrics[0]).compared for row in table.rows}
    assert found.pop("base") is None
    return found


def test_a_row_is_tested_seed_by_seed_and_corrected_over_the_rows():
    found = compared(spec=SPEC.model_copy(update={"test": "t"}))
    alone = {row: paired_test(np.array(SCORES[row]), np.array(SCORES["base"])) for row in found}
    assert {row: one.seeds for row, one in found.items()} == alone
    corrected = holm([one.p for one in alone.values()])
    assert [one.p_corrected for one in found.values()] == pytest.approx(corrected)
    assert [one.is_significant for one in found.values()] == [True, False, True]


def test_a_verdict_says_no_more_than_the_numbers():
    verdicts = {row: one.verdict for row, one in compared().items()}
    assert verdicts == {
        "much": f"ahead over seeds, {NO_SCENES}",
        "same": "undecided",
        "worse": f"behind over seeds, {NO_SCENES}",
    }  # fmt: skip
    shares = {"base": 0.5, "much": 0.8, "same": 0.5, "worse": 0.5}
    verdicts = {row: one.verdict for row, one in compared(read=reader(shares)).items()}
    assert verdicts == {
        "much": "better",
        "same": "undecided",
        "worse": "behind over seeds, undecided over scenes",
    }  # fmt: skip


def test_where_lower_is_better_less_is_better():
    spec = TableSpec(metrics=("loss",), baseline="base")
    verdicts = {row: one.verdict for row, one in compared(spec=spec).items()}
    assert verdicts["much"] == f"behind over seeds, {NO_SCENES}"
    assert verdicts["worse"] == f"ahead over seeds, {NO_SCENES}"


@pytest.mark.parametrize(
    ("test", "needed"), [("auto", 3), ("pooled", 3), ("t", 3), ("wilcoxon", 6)]
)
def test_too_few_seeds_have_no_verdict(test, needed):
    for num_seeds in (needed - 1, needed):
        scores = {
            "base": [float(seed) for seed in range(num_seeds)],
            "row": [50 + seed + 0.1 * seed**2 for seed in range(num_seeds)],
        }
        spec = TableSpec(metrics=("miou",), baseline="base", test=test)
        (found,) = compared(scores, spec).values()
        assert found.seeds.num_seeds == num_seeds
        assert found.seeds.difference > 49
        if num_seeds < needed:
            assert found.verdict == f"too few seeds (n={num_seeds})"
            assert math.isnan(found.p_corrected)
        else:
            assert found.verdict == f"ahead over seeds, {NO_SCENES}"


def test_only_seeds_that_both_have_are_compared():
    why = {("much", 0): "running", ("base", 3): "killed"}
    found = compared(why=why, spec=SPEC.model_copy(update={"test": "t"}))["much"]
    assert found.seeds.num_seeds == 2
    assert found.seeds.difference == pytest.approx((10.5 + 9.9) / 2)
    apart = {("much", seed): "running" for seed in range(3)} | {("base", 3): "failed"}
    assert compared(why=apart)["much"].verdict == "no seed in common"
    without = compared(why={("much", seed): "running" for seed in range(4)})
    assert without["much"] is None
    assert without["same"].verdict == "undecided"


def test_the_interval_over_scenes_is_of_the_same_scenes_for_both():
    read = reader({"base": 0.60, "much": 0.65, "same": 0.60, "worse": 0.5})
    found = compared(read=read)["much"]
    low, high = found.scenes
    truth = _miou(0.65) - _miou(0.60)
    assert low < truth < high
    # Scenes differ by far more than the rows do: unpaired, nothing could be told.
    spread = _scores_by_scene(0.60)
    assert high - low < 0.5 * (max(spread) - min(spread)) / len(spread) ** 0.5
    assert compared(read=read)["same"].scenes == (0.0, 0.0)


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda _: None, "8 of 8 runs have no counts per scene"),
        (reader({"base": 0.5}), "4 of 8 runs have no counts per scene"),
        (reader({"base": 0.5, "much": 0.6}, num_scenes=MIN_SCENES - 1), "too few scenes (9)"),
        (
            lambda name: scene_counts(0.5, num_scenes=20 if name < "c" else 30),
            "not the same scenes",
        ),
    ],
)
def test_without_an_interval_the_reason_is_given(read, why):
    found = compared({"base": SCORES["base"], "much": SCORES["much"]}, read=read)["much"]
    assert (found.scenes, found.no_scenes) == (None, why)


def test_a_number_that_is_no_score_of_points_has_no_interval():
    spec = TableSpec(metrics=("loss",), baseline="base")
    read = reader(dict.fromkeys(SCORES, 0.5))
    assert compared(spec=spec, read=read)["much"].no_scenes == "no score of points"


def test_rows_that_differ_in_more_than_their_row_are_not_compared():
    scores = {"base": SCORES["base"], "a": SCORES["much"], "b": SCORES["same"]}
    settings = {
        "base": {"lr": "1", "width": "1"}, "a": {"lr": "2", "width": "1"},
        "b": {"lr": "2", "width": "2"},
    }  # fmt: skip
    spec = TableSpec(by=("lr",), metrics=("miou",), baseline="1")
    table = make_table(table_runs(scores, settings), spec, "t")
    found = table.cell("2", "", "miou").compared
    assert found.verdict == "not comparable"
    assert math.isnan(found.p_corrected)
    assert "width" in table.notes[0]


def test_rows_of_the_same_mixture_are_compared():
    scores = {
        "a1": [1.0, 2.0, 3.5],
        "a2": [3.0, 4.0, 5.0],
        "b1": [5.0, 6.1, 7.0],
        "b2": [7.0, 8.0, 9.0],
    }
    settings = {row: {"lr": row[0], "width": row[1]} for row in scores}
    spec = TableSpec(by=("lr",), metrics=("miou",), baseline="a")
    table = make_table(table_runs(scores, settings), spec, "t")
    found = table.cell("b", "", "miou").compared
    assert found.seeds.difference == pytest.approx((36 + 0.1 + 6 - 18 - 0.5) / 6, abs=0.5)
    assert found.verdict == f"ahead over seeds, {NO_SCENES}"


def _miou(share: float) -> float:
    counts = scene_counts(share)
    return counts.scores(["miou"], np.ones((1, len(counts.scenes))))["miou"].item()


def _scores_by_scene(share: float) -> list[float]:
    counts = scene_counts(share)
    return counts.scores(["miou"], np.eye(len(counts.scenes)))["miou"].tolist()
