import math

import pytest

from olivine.results.words import class_words, code_parts, percent, short, short_name


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


def test_a_long_text_keeps_its_beginning() -> None:
    assert short("one two", 7) == "one two"
    assert short("one two three", 5) == "one…"


def test_numbers_and_names_as_people_write_them() -> None:
    assert percent(0.1234) == "12.3 %"
    assert percent(math.nan) == "–"
    assert class_words("driveable_surface") == "driveable surface"
    assert class_words("CAM_FRONT") == "CAM_FRONT"


def test_code_stands_between_backticks_and_a_lone_one_sets_none() -> None:
    assert list(code_parts("run `a b` now")) == [("run ", False), ("a b", True), (" now", False)]
    assert list(code_parts("one ` alone")) == [("one ` alone", False)]
