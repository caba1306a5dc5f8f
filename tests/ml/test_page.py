import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.page import looks_like_html, visible_text

SIZE = 65_536  # characters; `mail.py` passes at most as many
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
def test_a_page_is_recognized_by_its_start(text: str):
    assert looks_like_html(text)


@pytest.mark.parametrize(
    "text", ["", "Hello", "1 < 2", "<ann@example.com>", "<htmlx>", "<3 you", "see <html>", "<g>"]
)
def test_other_text_is_not_mistaken_for_a_page(text: str):
    assert not looks_like_html(text)


def test_text_without_tags_stays_as_it_is():
    assert visible_text("You won") == "You won"


def test_block_tags_end_lines():
    assert visible_text("<h1>You won</h1><p>Call<br>now</p>") == "You won\nCall\nnow"


def test_inline_tags_do_not_split_words():
    assert (
        visible_text("Vi<b>ag</b>ra <FONT color=red>n</FONT>ow <a href='x'>here</a>")
        == "Viagra now here"
    )


def test_blanks_and_line_ends_become_one_blank():
    assert visible_text("<p>You \n\t have\n\n  won </p>\n\n<p> now</p>") == "You have won\nnow"


def test_comments_are_not_shown():
    assert visible_text("Via<!-- not -->gra <!-- <b>nor</b> > this -->now") == "Viagra now"


@pytest.mark.parametrize("name", ["script", "style", "SCRIPT"])
def test_scripts_and_styles_are_not_shown(name: str):
    page = f"one<{name} type=x>if (a < b) {{ <b>no</b> }}</{name}>two"

    assert visible_text(page) == "onetwo"


@pytest.mark.parametrize(
    "page", ["<p>Win<!-- İİİİ<b>İİİİ-->now", "<p>Win<script>İİİİ<b>İİİİ/script>now"]
)
def test_letters_that_grow_in_lower_case_do_not_shift_the_text(page: str):
    assert visible_text(page) == "Winnow"


def test_an_unclosed_comment_hides_the_rest():
    assert visible_text("Win<!-- <b>now</b>") == "Win"


def test_attributes_are_not_shown():
    assert visible_text('<img alt="no" src="x.png"><p title=no>Win</p>') == "Win"


@pytest.mark.parametrize("text", ["1 < 2", "a <3 b", "<", "a << b", "< b>"])
def test_a_less_than_sign_that_starts_no_tag_is_kept(text: str):
    assert visible_text(text) == text


def test_entities_are_decoded():
    assert visible_text("&pound;1000 &amp; more&#33; &#x41;&lt;b&gt;") == "£1000 & more! A<b>"


def test_an_invalid_numeric_entity_is_replaced():
    assert visible_text("<p>Win &#xD800; now") == "Win \ufffd now"


def test_a_numeric_entity_too_large_for_python_leaves_all_entities():
    assert visible_text("<p>&pound; &#" + "9" * 5_000) == "&pound; &#" + "9" * 5_000


def test_an_empty_page_has_no_text():
    assert visible_text("") == ""


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30))
def test_any_page_gives_valid_text(pieces: list[str]):
    text = visible_text("".join(pieces))

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
def test_a_hostile_page_is_read_fast(piece: str):
    page = piece * (SIZE // len(piece))
    begin = time.process_time()

    visible_text(page)

    assert time.process_time() - begin < 0.2
