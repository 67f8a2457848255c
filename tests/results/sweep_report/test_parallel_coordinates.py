import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olivine.results.importance import VaryingSetting
from olivine.results.sweep_report.parallel_coordinates import parallel_coordinates
from olivine.results.tables.spec import UNKNOWN

NUMBERS = st.integers(-(10**9), 10**9).map(lambda number: str(number / 1000))


def dimensions_of(*columns: tuple[str, ...], scores: list[float] | None = None):
    settings = [VaryingSetting(f"s{i}", (), values) for i, values in enumerate(columns)]
    given_scores = np.array(scores or [float(i) for i in range(len(columns[0]))])
    chart = parallel_coordinates(settings, given_scores, "mIoU (%)", lower_is_better=False)
    return chart.figure.data[0].dimensions


def test_every_setting_has_an_axis_with_its_values_and_the_score_is_the_last() -> None:
    settings = [
        VaryingSetting("loss.kind", ("loss.size",), ("nce", "vmf", "nce")),
        VaryingSetting("optimiser.lr", (), ("0.001", "0.1", "0.01")),
        VaryingSetting("head_lr", (), (UNKNOWN, "2.0", "0.5")),
    ]
    scores = np.array([1.0, 30.5, 7.0])
    chart = parallel_coordinates(settings, scores, "mIoU (%)", lower_is_better=False)
    kind, rate, head, score = chart.figure.data[0].dimensions
    assert [one.label for one in (kind, rate, head, score)] == [
        "loss.kind +1", "optimiser.lr", "head_lr", "mIoU (%)",
    ]  # fmt: skip
    assert (kind.ticktext, kind.tickvals) == (("nce", "vmf"), (0, 1))
    assert rate.ticktext == ("0.001", "0.01", "0.1")
    assert head.ticktext == (UNKNOWN, "0.5", "2")
    # Trials are drawn from the worst to the best.
    assert list(score.values) == [1.0, 7.0, 30.5]
    assert list(kind.values) == [0, 0, 1]
    assert list(rate.values) == [0, 1, 2]
    assert list(head.values) == [-1, 0, 1]
    colours = list(chart.figure.data[0].line.color)
    assert colours == [0.0, 0.5, 1.0]
    assert (
        "the best has mIoU (%) 30.5 with loss.kind vmf, optimiser.lr 0.1, head_lr 2.0" in chart.text
    )


def test_where_less_is_better_the_least_is_the_best() -> None:
    settings = [VaryingSetting("loss.kind", (), ("nce", "vmf", "nce"))]
    chart = parallel_coordinates(settings, np.array([1.0, 30.5, 7.0]), "loss", lower_is_better=True)
    assert "the best has loss 1 with loss.kind nce" in chart.text
    assert list(chart.figure.data[0].dimensions[1].values) == [30.5, 7.0, 1.0]


def test_many_numbers_are_drawn_to_scale_so_that_any_range_can_be_chosen() -> None:
    values = tuple(str(0.1 * i) for i in range(10))
    linear, _ = dimensions_of(values)
    assert linear.tickvals is None, "with ticks given only ranges between them can be chosen"
    assert list(linear.values) == pytest.approx([0.1 * i for i in range(10)])
    assert linear.tickformat == ".4~r", "the ends of an axis have few digits"
    assert dimensions_of(tuple(str(1000 * i) for i in range(10)))[0].tickformat is None
    wide, _ = dimensions_of(tuple(str(10.0**i) for i in range(10)))
    assert wide.label == "log₁₀ s0"
    assert list(wide.values) == pytest.approx(range(10))


def test_trials_without_a_setting_lie_below_those_that_have_it() -> None:
    values = (UNKNOWN, *(str(1.0 + i) for i in range(9)))
    axis, _ = dimensions_of(values)
    absent = axis.values[0]
    assert all(absent < other for other in axis.values[1:])
    assert dict(zip(axis.tickvals, axis.ticktext, strict=True))[absent] == UNKNOWN


@given(
    st.lists(NUMBERS, min_size=2, max_size=20)
    | st.lists(st.sampled_from([UNKNOWN, "0.5", "nce", "a<b>", "1e-3"]), min_size=2, max_size=20)
    | st.lists(NUMBERS | st.just(UNKNOWN), min_size=2, max_size=20)
)
def test_every_line_lies_on_its_axes(values: list[str]) -> None:
    if set(values) == {UNKNOWN}:
        return
    for axis in dimensions_of(tuple(values)):
        low, high = axis.range
        assert low < high
        assert all(low <= value <= high for value in axis.values)
        assert np.isfinite(axis.values).all()
        if axis.tickvals is not None:
            assert len(axis.tickvals) == len(axis.ticktext) <= 20


def test_equal_scores_have_an_axis_too() -> None:
    score = dimensions_of(("1", "2"), scores=[3.0, 3.0])[-1]
    assert score.range == (2.5, 3.5)


def test_an_axis_with_many_texts_names_some() -> None:
    axis, _ = dimensions_of(tuple(f"name {i}" for i in range(100)))
    assert len(axis.ticktext) <= 16
    assert len(set(axis.values)) == 100


def test_a_label_is_short_enough_for_its_axis_and_no_markup() -> None:
    long = VaryingSetting("pretrained.method.terms.class.weight", ("a", "b"), ("0", "1"))
    hostile = VaryingSetting("<b>&", (), ("<i>", "<script>"))
    chart = parallel_coordinates(
        [long, hostile], np.array([0.0, 1.0]), "mIoU (%)", lower_is_better=False
    )
    first, second, _ = chart.figure.data[0].dimensions
    assert first.label == "…class.weight +2"
    assert second.label == "&lt;b&gt;&amp;"
    assert second.ticktext == ("<i>", "<script>"), "plotly writes ticks as plain text"
    assert chart.min_width_px > 3 * 112
    assert chart.html().count("</script>") == 1
