"""Pieces of pages: what a person has typed is shown, whole, and never obeyed."""

import pandas as pd
import pytest

from olivine.results.html import breakable, html_table, picture, with_code
from tests.support.html_reader import HtmlReader

HOSTILE = "</td><script>alert(1)</script>_a.b&amp;\"'{{ 7 * 7 }}<img src=x onerror=alert(1)>"


def test_a_table_shows_its_texts_and_obeys_none() -> None:
    frame = pd.DataFrame([[HOSTILE, HOSTILE], ["x", 1.5]])
    page = HtmlReader(html_table(frame, [HOSTILE, "v (%)"]))
    assert page.tables == [[[HOSTILE, "v (%)"], [HOSTILE, HOSTILE], ["x", "1.5"]]]
    assert {"script", "img"}.isdisjoint(page.tags)


def test_texts_of_a_table_have_their_classes_and_sides() -> None:
    frame = pd.DataFrame([["a", "1", "long words"], ["b", "2", "few"]])
    marks = pd.DataFrame([["", "best", ""], ["", "", ""]])
    html = html_table(frame, ["name", "v", "why"], text_columns=(0, 2), classes=marks)
    page = HtmlReader(html)
    assert page.marked["best"] == ["1"]
    assert page.marked["text"] == ["name", "why", "a", "long words", "b", "few"]
    assert ("th", {"scope": "row", "class": "text"}) in page.attributes
    assert "col0" not in html


@pytest.mark.parametrize("num_lines", [0, 1, 100])
def test_no_line_of_a_table_is_left_out(num_lines: int) -> None:
    frame = pd.DataFrame([[str(i), "x", "y", "z"] for i in range(num_lines)], columns=range(4))
    with pd.option_context("styler.render.max_elements", 20):
        page = html_table(frame, list("abcd"))
    assert page.count("<tr>") == 1 + num_lines


def test_a_dotted_name_may_be_broken_and_reads_the_same() -> None:
    assert breakable("a.b_c<d>") == "a.<wbr>b_<wbr>c&lt;d&gt;"


def test_code_is_set_and_everything_else_escaped() -> None:
    assert with_code("run `a <b>` & more") == "run <code>a &lt;b&gt;</code> &amp; more"


def test_a_picture_has_words_which_are_no_markup() -> None:
    page = HtmlReader(picture(b"abc", "png", 'a "b" <c>'))
    assert page.attributes == [("img", {"alt": 'a "b" <c>', "src": "data:image/png;base64,YWJj"})]
