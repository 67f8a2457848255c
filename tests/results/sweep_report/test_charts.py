"""Figures of a report: what they name, what they draw, and that they take the page's colours."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from olivine.results.curve_figures import curves_with_bands
from olivine.results.inline_svg import INK, TEXT_SIZE, WIDTH, inline_svg, sheet, short_name

from olivine.results.importance import Axis, Importance
from olivine.results.sweep_report.charts import (
    MAX_BARS,
    ScoreAtCost,
    _Scale,
    importance_bars,
    parallel_coordinates,
    score_against_cost,
)
from olivine.results.tables.spec import UNKNOWN


def texts(svg: str) -> list[str]:
    """Return the texts of a figure, which must be well-formed."""
    root = ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")]


def points(num: int) -> list[ScoreAtCost]:
    return [ScoreAtCost(f"row {i}", 10.0 + i, 0.5, 1.0 + i, 3, i % 2 == 0) for i in range(num)]


def curves(methods: int, seeds: int = 2, steps: int = 4) -> pd.DataFrame:
    rows = [
        (f"m{method}", seed, 10 * step, method + seed + step / 10)
        for method in range(methods)
        for seed in range(seeds)
        for step in range(steps)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "step", "value"])


def test_text_stays_text_and_black_is_the_pages_ink() -> None:
    figure, axis = sheet(100.0)
    axis.text(0.5, 0.5, "<b> & more", color=INK)
    axis.plot([0, 1], [0, 1], color=INK, marker="o")
    svg = inline_svg(figure, "one", 'a "text"')
    assert texts(svg) == ["<b> & more"]
    assert 'aria-label="a &quot;text&quot;"' in svg
    assert "var(--ink)" in svg
    assert INK not in svg
    ids = re.findall(r' id="([^"]+)"', svg)
    assert all(one.startswith("one-") for one in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= set(ids)
    assert "date" not in svg.lower()


def test_parallel_coordinates_name_every_axis_and_its_values() -> None:
    axes = [
        Axis("loss.kind", ("loss.size",), ("nce", "vmf", "nce")),
        Axis("optimiser.lr", (), ("0.001", "0.1", "0.01")),
        Axis("head_lr", (), (UNKNOWN, "2.0", "0.5")),
    ]
    svg = parallel_coordinates(axes, np.array([1.0, 30.5, 7.0]), "miou", lower_is_better=False)
    found = texts(svg)
    assert {"loss.kind (and 1 more)", "optimiser.lr", "head_lr", "miou"} <= set(found)
    assert {"nce", "vmf", "0.001", "0.01", "0.1", UNKNOWN, "2", "1", "30.5"} <= set(found)
    (label,) = re.findall('aria-label="([^"]+)"', svg)
    assert "the best has miou 30.5 with loss.kind vmf, optimiser.lr 0.1, head_lr 2.0" in label
    lower = parallel_coordinates(axes, np.array([1.0, 30.5, 7.0]), "loss", lower_is_better=True)
    assert "the best has loss 1 with loss.kind nce" in lower


@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=40, unique=True)
    | st.lists(st.text("abcdefg", min_size=1, max_size=30), min_size=2, max_size=9, unique=True)
)
def test_no_two_values_of_an_axis_are_written_over_each_other(values: list[float | str]) -> None:
    ticks = sorted(_Scale.of(Axis("x", (), tuple(map(str, values)))).ticks)
    assert ticks[0][0] < 0.05
    for (place, text), (next_place, next_text) in itertools.pairwise(ticks):
        # The text of an end is written inwards, all others about their place.
        after = 1.0 if place < 0.05 else 0.5
        before = 1.0 if next_place > 0.95 else 0.5
        needed = 0.48 * TEXT_SIZE * (after * len(text) + before * len(next_text))
        assert (next_place - place) * 0.94 * WIDTH > needed


def test_an_axis_of_many_numbers_has_its_ends_and_round_ones() -> None:
    values = tuple(str(round(0.123 + 0.037 * i, 3)) for i in range(30))
    texts_ = [text for _, text in sorted(_Scale.of(Axis("x", (), values)).ticks)]
    assert texts_[0] == "0.123"
    assert texts_[-1] == "1.2"
    assert {"0.4", "0.8"} <= set(texts_)


def test_importance_is_told_from_the_most_important_on() -> None:
    num = MAX_BARS + 3
    axes = [Axis(f"setting_{i}", (), ()) for i in range(num)]
    found = Importance(60, tuple(0.01 * i for i in range(num)), (0.01,) * num, 0.7)
    svg = importance_bars(axes, found)
    named = [text for text in texts(svg) if text.startswith("setting_")]
    assert named == [f"setting_{i}" for i in range(num)[::-1][:MAX_BARS]]
    assert "setting_14 14 %" in svg


def test_the_front_is_named_and_crowded_names_are_left_out() -> None:
    few = texts(score_against_cost(points(6), "miou", "hours"))
    assert {f"row {i}" for i in range(6)} <= set(few)
    many = texts(score_against_cost(points(40), "miou", "hours"))
    named = {text for text in many if text.startswith("row")}
    assert named <= {f"row {i}" for i in range(0, 40, 2)}
    same = [ScoreAtCost(f"row {i}", 1.0, math.nan, 1.0, 1, i == 0) for i in range(6)]
    assert sum(text.startswith("row") for text in texts(score_against_cost(same, "m", "h"))) < 6


def test_cost_over_orders_of_magnitude_is_logarithmic() -> None:
    wide = [ScoreAtCost(f"#{i}", float(i), math.nan, 10.0**i, 1, True) for i in range(3)]
    found = texts(score_against_cost(wide, "miou", "hours"))
    assert {"1", "10", "100"} <= set(found)


def test_few_methods_share_a_panel_and_many_have_their_own() -> None:
    few = curves_with_bands(curves(3), "a", "loss", named=["m0", "m1", "m2"])
    assert {"m0", "m1", "m2", "step", "loss"} <= set(texts(few))
    named = [f"m{i}" for i in range(8)]
    many = curves_with_bands(curves(8), "b", "loss", named=named)
    assert set(named) <= set(texts(many))
    best = curves_with_bands(curves(30), "c", "loss", named=["m7", "m2"])
    assert {"m7", "m2"} <= set(texts(best))
    assert "m3" not in texts(best)


def test_a_method_has_one_colour_in_every_figure() -> None:
    named = ["m0", "m1", "m2"]
    whole = curves_with_bands(curves(3), "a", "loss", named=named)
    part = curves(3)
    without = curves_with_bands(part[part["method"] != "m0"], "a", "loss", named=named)

    def colour(svg: str, name: str) -> str:
        found = re.search(rf"fill: (#[0-9a-f]{{6}})[^>]*>{name}<", svg)
        assert found
        return found[1]

    assert colour(whole, "m2") == colour(without, "m2") != colour(whole, "m1")


def test_a_band_is_one_deviation_over_seeds_and_one_seed_has_none() -> None:
    band = 'id="a-FillBetween'
    assert band in curves_with_bands(curves(1), "a", "loss", named=["m0"])
    assert band not in curves_with_bands(curves(1, seeds=1), "a", "loss", named=["m0"])


def test_a_seed_that_only_began_does_not_cut_the_others_short() -> None:
    lines = curves(1, seeds=2, steps=5)
    began = pd.DataFrame([("m0", 2, 0, 1.0)], columns=list(lines.columns))
    svg = curves_with_bands(pd.concat([lines, began]), "a", "loss", named=["m0"])
    assert "last: m0 0.9" in svg


@pytest.mark.parametrize(
    ("name", "length", "expected"),
    [
        ("a.b", 5, "a.b"),
        ("pretrained.method.terms.class.weight", 20, "…terms.class.weight"),
        ("averylongnamewithoutdots", 10, "…thoutdots"),
    ],
)
def test_a_long_name_keeps_its_end(name: str, length: int, expected: str) -> None:
    assert short_name(name, length) == expected
    assert len(expected) <= length
