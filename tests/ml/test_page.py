import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.page import looks_like_page, shown

SIZE = 65_536  # characters that `mail.py` gives at most
PIECES = ["<", ">", "!--", "-->", "script", "style", "/", "<p>", "&", "#", "x", ";", '"', "\n", "İ"]


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "<!DOCTYPE html>",
        "\n  <HTML lang=en>",
        "<body bgcolor=white>",
        "<table><tr>",
        "<div>",
        "<center>",
        "<font size=7>WIN",
    ],
)
def test_a_page_is_known_by_how_it_begins(text: str):
    assert looks_like_page(text)


@pytest.mark.parametrize(
    "text", ["", "Hello", "1 < 2", "<ann@example.com>", "<htmlx>", "<3 you", "see <html>", "<g>"]
)
def test_another_text_is_not_taken_for_a_page(text: str):
    assert not looks_like_page(text)


def test_a_text_without_tags_is_shown_as_it_is():
    assert shown("You won") == "You won"


def test_tags_of_blocks_end_lines():
    assert shown("<h1>You won</h1><p>Call<br>now</p>") == "You won\nCall\nnow"


def test_tags_within_lines_leave_words_whole():
    assert (
        shown("Vi<b>ag</b>ra <FONT color=red>n</FONT>ow <a href='x'>here</a>") == "Viagra now here"
    )


def test_blanks_and_line_ends_are_one_blank():
    assert shown("<p>You \n\t have\n\n  won </p>\n\n<p> now</p>") == "You have won\nnow"


def test_comments_are_not_shown():
    assert shown("Via<!-- not -->gra <!-- <b>nor</b> > this -->now") == "Viagra now"


@pytest.mark.parametrize("name", ["script", "style", "SCRIPT"])
def test_scripts_and_styles_are_not_shown(name: str):
    page = f"one<{name} type=x>if (a < b) {{ <b>no</b> }}</{name}>two"

    assert shown(page) == "onetwo"


@pytest.mark.parametrize(
    "page", ["<p>Win<!-- İİİİ<b>İİİİ-->now", "<p>Win<script>İİİİ<b>İİİİ/script>now"]
)
def test_text_after_letters_that_grow_in_lower_case_is_shown(page: str):
    assert shown(page) == "Winnow"


def test_a_comment_that_nothing_ends_hides_the_rest():
    assert shown("Win<!-- <b>now</b>") == "Win"


def test_attributes_are_not_shown():
    assert shown('<img alt="no" src="x.png"><p title=no>Win</p>') == "Win"


@pytest.mark.parametrize("text", ["1 < 2", "a <3 b", "<", "a << b", "< b>"])
def test_a_sign_that_begins_no_tag_is_shown(text: str):
    assert shown(text) == text


def test_entities_are_decoded():
    assert shown("&pound;1000 &amp; more&#33; &#x41;&lt;b&gt;") == "£1000 & more! A<b>"


def test_a_number_that_is_no_character_does_no_harm():
    assert shown("<p>Win &#xD800; now") == "Win \ufffd now"


def test_a_number_that_python_refuses_leaves_the_entities():
    assert shown("<p>&pound; &#" + "9" * 5_000) == "&pound; &#" + "9" * 5_000


def test_nothing_shows_nothing():
    assert shown("") == ""


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30))
def test_any_page_shows_a_text(pieces: list[str]):
    text = shown("".join(pieces))

    assert text == text.strip()
    assert text.encode().decode() == text


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        '<a b="',
        "<b> ",
        "<b>\n",
        "<p>",
        "<!--",
        "<script>",
        "</script",
        "<script></script>",
        "&",
        "&#9",
        "&nbsp;",
        "&nbsp",
        "&#x",
        "&#" + "9" * 4_000,
        " ",
        "\x0b<b>",
        ">",
    ],
)
def test_a_hostile_page_costs_little(piece: str):
    page = piece * (SIZE // len(piece))
    begin = time.process_time()

    shown(page)

    assert time.process_time() - begin < 0.2
