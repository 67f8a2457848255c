"""Colours that the colour-blind tell apart, on white and on black, the same for a method always."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olivine.results.colours import DASHES, PALETTE, line_styles
from sweeps.methods import ROWS

# How colours look to people without one kind of cone (Machado, Oliveira and Fernandes 2009).
SEEN = {
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
XYZ_OF_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
WHITE, LIGHT_PAPER, DARK_PAPER = np.array([0.95047, 1.0, 1.08883]), "#ffffff", "#15181c"
ROW_NAMES = st.lists(
    st.sampled_from([*ROWS, "PPKT, 10 %", "+ vMF", "a", "b", "c", "#7"]), max_size=20
)


def linear(colour: str) -> np.ndarray:
    """Return a colour as light: red, green and blue from 0 to 1, without the screen's curve."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """Return CIELAB, in which a distance of 2 is just seen."""
    share = XYZ_OF_RGB @ np.clip(light, 0, 1) / WHITE
    cube = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])])


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast of two colours, from 1 to 21."""
    low, high = sorted(XYZ_OF_RGB[1] @ linear(colour) for colour in (one, other))
    return float((high + 0.05) / (low + 0.05))


@pytest.mark.parametrize("kind", SEEN)
def test_any_two_colours_are_told_apart_by_everybody(kind: str) -> None:
    seen = [lab(SEEN[kind] @ linear(colour)) for colour in PALETTE]
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 15


def test_every_colour_shows_on_light_paper_and_on_dark() -> None:
    for colour in PALETTE:
        assert contrast(colour, LIGHT_PAPER) > 2.2
        assert contrast(colour, DARK_PAPER) > 2.9


def test_the_librarys_methods_always_look_the_same() -> None:
    whole = line_styles(ROWS)
    assert len(set(whole.values())) == len(ROWS)
    for row in ROWS:
        assert line_styles([row]) == {row: whole[row]}
        assert line_styles(["+ vMF", "another", row])[row] == whole[row]


@given(ROW_NAMES, st.randoms(use_true_random=False))
def test_looks_do_not_depend_on_the_order_and_differ_as_long_as_there_are_some(
    rows: list[str], random: object
) -> None:
    styles = line_styles(rows)
    assert list(styles) == list(dict.fromkeys(rows))
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert line_styles(mixed) == styles
    assert len(set(styles.values())) == len(styles)
    methods = {row: row.partition(", ")[0] for row in styles}
    for one, other in itertools.combinations(styles, 2):
        if methods[one] == methods[other]:
            assert styles[one].colour == styles[other].colour


def test_thousands_of_rows_have_a_look_too() -> None:
    assert len(line_styles(map(str, range(5000)))) == 5000


def test_unknown_names_take_colours_that_are_free_first() -> None:
    styles = line_styles(["PPKT", *"abcdefg"])
    assert {style.colour for style in styles.values()} == set(PALETTE)
    assert {style.dash for style in styles.values()} == {"solid"}


def test_a_dash_is_given_in_widths_of_its_line() -> None:
    style = line_styles(["SLidR", "ST-SLidR"])["ST-SLidR"]
    assert style.dash_lengths(2) == tuple(2 * one for one in DASHES[style.dash]) == (6, 6)
