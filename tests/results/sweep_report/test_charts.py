"""Charts of a report: what they draw, in whose colours, and that no name is taken for markup."""

import math

import numpy as np
import pandas as pd
import pytest

from olivine.results.colours import ORANGE, POOR, line_styles
from olivine.results.importance import Importance, VaryingSetting
from olivine.results.sweep_report.charts import (
    MAX_BARS,
    importance_bars,
    learning_curves_chart,
    score_against_cost,
)
from olivine.results.sweep_report.curves import Curves
from olivine.results.sweep_report.trials import DEVICE_TIME, CostUnit, ScoreAtCost

HOSTILE = '</script><b onclick="x">%{y} & more'
HOURS = CostUnit(DEVICE_TIME, "h")
HOSTILE_SHOWN = '&lt;/script&gt;&lt;b onclick="x"&gt;%{y} &amp; more'


def points(num: int) -> list[ScoreAtCost]:
    return [ScoreAtCost(f"row {i}", 10.0 + i, 0.5, 1.0 + i, 3, i % 2 == 0) for i in range(num)]


def curves(methods: int, seeds: int = 2, steps: int = 4, named: int = 99) -> Curves:
    rows = [
        (f"m{method}", seed, 10 * step, method + seed + step / 10)
        for method in range(methods)
        for seed in range(seeds)
        for step in range(steps)
    ]
    lines = pd.DataFrame(rows, columns=["method", "seed", "step", "value"])
    names = tuple(f"m{method}" for method in range(min(methods, named)))
    return Curves("a", "A", "probe mIoU (%)", lines, names)


def test_an_axis_says_what_it_is_of_and_in_which_unit() -> None:
    cost = score_against_cost(points(3), "mIoU (%)", HOURS, {}).figure.layout
    assert (cost.xaxis.title.text, cost.yaxis.title.text) == ("device time (h)", "mIoU (%)")
    learning = learning_curves_chart(curves(2), line_styles(["m0", "m1"])).figure.layout
    assert (learning.xaxis.title.text, learning.yaxis.title.text) == ("step", "probe mIoU (%)")


def test_a_cost_is_drawn_in_its_unit() -> None:
    some = [ScoreAtCost("m", 11.0, 0.5, hours=0.02, num_seeds=3, on_front=True)]
    chart = score_against_cost(some, "mIoU (%)", CostUnit(DEVICE_TIME, "min"), {})
    assert [list(trace.x) for trace in chart.figure.data] == [[pytest.approx(1.2)]] * 2
    assert chart.figure.layout.xaxis.title.text == "device time (min)"
    assert "device time (min): %{x" in chart.figure.data[1].hovertemplate
    assert "m: 11 in 1.2 min" in chart.text


def test_a_method_has_one_colour_in_every_chart() -> None:
    styles = line_styles(["m0", "m1", "m2"])
    some = [ScoreAtCost(name, 1.0, 0.1, 2.0, 2, False) for name in styles]
    cost = score_against_cost(some, "miou", HOURS, styles).figure.data[1:]
    assert [trace.marker.color for trace in cost] == [style.colour for style in styles.values()]
    whole = learning_curves_chart(curves(3), styles).figure.data
    assert {t.legendgroup: t.line.color for t in whole if t.line.color} == {
        name: style.colour for name, style in styles.items()
    }
    assert [trace.name for trace in cost] == list(styles)


def test_rows_are_points_of_their_own_and_the_front_a_line() -> None:
    line, *rows = score_against_cost(
        points(4), "miou", HOURS, line_styles(f"row {i}" for i in range(4))
    ).figure.data
    assert (list(line.x), list(line.y), line.line.shape) == ([1, 3], [10, 12], "hv")
    assert [row.name for row in rows] == ["row 0", "row 1", "row 2", "row 3"]
    assert [row.marker.symbol for row in rows] == ["diamond", "circle"] * 2
    assert [list(row.error_y.array) for row in rows] == [[0.5]] * 4
    assert rows[0].customdata[0][1] == " ± 0.5 over 3 seeds"


def test_trials_of_a_search_are_orange_on_the_front_and_grey_behind_it() -> None:
    _, behind, front = score_against_cost(points(40), "miou", HOURS, {}).figure.data
    assert (behind.marker.color, front.marker.color) == (POOR, ORANGE)
    assert len(behind.x) == len(front.x) == 20
    assert front.customdata[0][0] == "row 0"


@pytest.mark.parametrize(
    ("hours", "ticks"),
    [([1.0, 10.0, 100.0], {"1", "2", "5", "10", "50", "100"}), ([1e-3, 1e4], {"0.001", "10000"})],
)
def test_cost_over_orders_of_magnitude_is_logarithmic(hours: list[float], ticks: set[str]) -> None:
    wide = [ScoreAtCost(f"#{i}", float(i), math.nan, h, 1, True) for i, h in enumerate(hours)]
    axis = score_against_cost(wide, "miou", HOURS, {}).figure.layout.xaxis
    assert axis.type == "log"
    assert ticks <= set(axis.ticktext)
    assert [float(text) for text in axis.ticktext] == pytest.approx(list(axis.tickvals))
    narrow = score_against_cost(points(3), "miou", HOURS, {}).figure.layout.xaxis
    assert narrow.type != "log"


def test_importance_is_told_from_the_most_important_on() -> None:
    num = MAX_BARS + 3
    settings = [VaryingSetting(f"setting_{i}", (), ()) for i in range(num)]
    found = Importance(60, tuple(0.01 * i for i in range(num)), (0.01,) * num, 0.7)
    chart = importance_bars(settings, found)
    bars, names = chart.figure.data
    assert list(names.text) == [f"setting_{i}" for i in range(num)[::-1][:MAX_BARS]]
    assert list(bars.x) == pytest.approx([14.0 - i for i in range(MAX_BARS)])
    assert list(np.diff(bars.y)) == [-1] * (MAX_BARS - 1), "from top to bottom"
    assert "setting_14 14 %" in chart.text


def test_methods_that_are_not_told_apart_are_grey_and_one_trace() -> None:
    chart = learning_curves_chart(curves(30, named=2), line_styles(["m0", "m1"]))
    behind, *named = chart.figure.data
    assert behind.line.color == POOR
    assert list(behind.x).count(None) == 28
    assert {trace.name for trace in named} == {"m0", "m1"}
    assert "30 lines; last: m0 0.8; m1 1.8" in chart.text


def test_a_band_is_one_deviation_over_seeds_and_one_seed_has_none() -> None:
    band, line = learning_curves_chart(curves(1), line_styles(["m0"])).figure.data
    assert list(line.y) == pytest.approx([0.5, 0.6, 0.7, 0.8])
    deviation = math.sqrt(0.5)
    assert list(band.y[:4]) == pytest.approx([y + deviation for y in line.y])
    assert list(band.y[:3:-1]) == pytest.approx([y - deviation for y in line.y])
    assert len(learning_curves_chart(curves(1, seeds=1), line_styles(["m0"])).figure.data) == 1


def test_a_curve_of_one_step_is_a_point() -> None:
    (line,) = learning_curves_chart(curves(1, seeds=1, steps=1), line_styles(["m0"])).figure.data
    assert line.mode == "markers"


def test_a_long_curve_keeps_its_ends() -> None:
    line = learning_curves_chart(curves(1, seeds=1, steps=5000), line_styles(["m0"])).figure.data[0]
    assert len(line.x) == 80
    assert (line.x[0], line.x[-1]) == (0, 49990)


def test_a_seed_that_only_began_does_not_cut_the_others_short() -> None:
    whole = curves(1, seeds=2, steps=5)
    began = pd.DataFrame([("m0", 2, 0, 1.0)], columns=list(whole.lines.columns))
    both = Curves("a", "A", "loss", pd.concat([whole.lines, began]), whole.named)
    chart = learning_curves_chart(both, line_styles(["m0"]))
    assert "last: m0 0.9" in chart.text
    assert len(chart.figure.data[1].x) == 5


def test_names_are_no_markup_and_no_script() -> None:
    hostile = curves(1).lines.replace({"method": {"m0": HOSTILE}})
    styles = line_styles([HOSTILE])
    learning = learning_curves_chart(Curves("a", "A", HOSTILE, hostile, (HOSTILE,)), styles)
    cost = score_against_cost(
        [ScoreAtCost(HOSTILE, 1.0, 0.5, 1.0, 2, True)], HOSTILE, HOURS, styles
    )
    for chart in (learning, cost):
        assert chart.figure.data[1].name == HOSTILE_SHOWN
        assert chart.figure.layout.yaxis.title.text == HOSTILE_SHOWN
        html = chart.html()
        assert html.count("</script>") == 1, "its own"
        assert "<b " not in html
    assert cost.figure.data[1].customdata[0][0] == HOSTILE_SHOWN
    setting = VaryingSetting(HOSTILE, (), ())
    bars, names = importance_bars([setting], Importance(9, (0.5,), (0.1,), 0.9)).figure.data
    assert names.text[0] == bars.customdata[0] == HOSTILE_SHOWN


def test_a_chart_is_the_same_again() -> None:
    one, two = (learning_curves_chart(curves(3), line_styles(["m0", "m1", "m2"])) for _ in range(2))
    assert one.html() == two.html()
