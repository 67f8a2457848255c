"""Importance tells what matters, and says so where nobody can know."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olivine.results.importance import (
    MIN_POINTS,
    MIN_R2,
    VaryingSetting,
    importance,
    of_trials,
    varying_settings,
)
from olivine.results.tables.spec import UNKNOWN


def settings_of(columns: np.ndarray) -> list[VaryingSetting]:
    names = [f"setting_{i}" for i in range(columns.shape[1])]
    return [
        VaryingSetting(name, (), tuple(map(str, column)))
        for name, column in zip(names, columns.T, strict=True)
    ]


def test_what_decides_comes_first_and_what_does_nothing_gets_nothing() -> None:
    rng = np.random.default_rng(0)
    columns = rng.random((60, 4))
    scores = 4 * columns[:, 2] + columns[:, 0] + 0.1 * rng.standard_normal(60)
    found = importance(settings_of(columns), scores)
    assert found.why_not == ""
    assert found.r2 > 0.6
    first, second, *rest = np.argsort(found.shares)[::-1]
    assert (first, second) == (2, 0)
    assert all(abs(found.shares[i]) < 0.05 for i in rest)
    assert found == importance(settings_of(columns), scores), "the same points give the same answer"


@pytest.mark.parametrize("seed", range(3))
def test_chance_has_no_importance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = importance(settings_of(rng.random((40, 4))), rng.standard_normal(40))
    assert found.shares == ()
    assert found.r2 < MIN_R2
    assert "chance decides more" in found.why_not


def test_a_kind_that_decides_is_found_also_where_some_have_no_such_setting() -> None:
    kinds = ("sgd", "adamw") * 20
    rates = tuple(UNKNOWN if kind == "sgd" else str(0.1 * i) for i, kind in enumerate(kinds))
    scores = np.array([10.0 if kind == "adamw" else 3.0 for kind in kinds])
    columns = {"batch": tuple(map(str, range(40))), "kind": kinds, "lr": rates}
    settings = [VaryingSetting(name, (), values) for name, values in columns.items()]
    found = importance(settings, scores)
    assert max(found.shares[1:]) > 0.5 > found.shares[0]


@pytest.mark.parametrize(
    ("num_points", "scores", "why"),
    [
        (MIN_POINTS - 1, None, "too few"),
        (MIN_POINTS, 7.0, "the same score"),
        (0, None, "too few"),
    ],
)
def test_why_nobody_can_tell(num_points: int, scores: float | None, why: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.random(num_points) if scores is None else np.full(num_points, scores)
    found = importance(settings_of(rng.random((num_points, 2))), values)
    assert why in found.why_not
    assert found.shares == ()


def test_nothing_varies() -> None:
    assert importance([], np.ones(3)).why_not == "No setting varies."


def test_settings_that_always_change_together_are_one_axis() -> None:
    kinds = ["a", "b"] * 4
    settings = [
        {
            "seed": str(i),
            "pretrained.seed": str(i),
            "loss.kind": kind,
            "loss.size": "1" if kind == "a" else "2",
            **({"loss.only_b": "x"} if kind == "b" else {}),
            "lr": str(i // 2),
            "fixed": "1",
        }
        for i, kind in enumerate(kinds)
    ]
    first, second = varying_settings(settings)
    assert (first.name, set(first.together)) == ("loss.kind", {"loss.size", "loss.only_b"})
    assert (second.name, second.together) == ("lr", ())
    assert first.label == "loss.kind (and 2 more)"
    assert of_trials([second], [0, 7])[0].values == ("0", "3")


def test_values_that_are_all_different_are_not_taken_for_one_setting() -> None:
    settings = [{"lr": f"{i}", "weight": f"{i * i % 11}"} for i in range(8)]
    assert [axis.name for axis in varying_settings(settings)] == ["lr", "weight"]


@given(st.lists(st.sampled_from(["1", "2.5", "1e-05", UNKNOWN, "-3"]), min_size=1))
def test_numbers_are_read_and_an_absent_setting_has_none(values: list[str]) -> None:
    axis = VaryingSetting("x", (), tuple(values))
    assert axis.is_numeric
    numbers = axis.numbers()
    assert [np.isnan(n) for n in numbers] == [value == UNKNOWN for value in values]
    assert [float(v) for v in values if v != UNKNOWN] == [n for n in numbers if not np.isnan(n)]


def test_orders_of_magnitude_are_logarithmic_and_words_are_not() -> None:
    assert VaryingSetting("lr", (), ("0.001", "0.1", UNKNOWN)).is_log
    assert not VaryingSetting("epochs", (), ("2", "50", "4")).is_log
    assert not VaryingSetting("weight", (), ("0.0", "100")).is_log
    assert not VaryingSetting("kind", (), ("sgd", "1")).is_numeric
