import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import InvalidMessage
from ml.normalise import MAX_CHARACTERS, views

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PIECES = [*"a1 .-_*,@$!|€£+(é\u0301\u200b\ufdfa", "www.", "http://", "a.", "1,", "com/", "\n"]


@pytest.mark.parametrize(
    "disguised",
    [
        "FREE",
        "\uff26\uff32\uff25\uff25",  # full-width
        "fr\u0435\u0435",  # Cyrillic
        "f\u200br\u00adee",  # invisible characters
        "f\u0336r\u0336e\u0336e\u0336",  # struck through
        "f r e e",
        "f.r.e.e",
        "f-r-e-e",
        "fr33",
        "fr€e",
    ],
)
def test_a_disguised_word_is_read_as_the_word(disguised: str):
    assert views(f"win {disguised} cash").characters == "win free cash"


@pytest.mark.parametrize("word", ["b4", "gr8", "4u", "u.s.a", "café"])
def test_a_word_that_looks_like_a_disguise_is_left_alone(word: str):
    assert views(word).words.split()[0] == word


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://a.example/b?c=d", "«url»"),
        ("www.example.org", "«url»"),
        ("prizes.co.uk/now", "«url»"),
        ("joe.bloggs@example.org", "«mail»"),
        ("£1,000.50", "«money»"),
        ("100 pounds", "«money»"),
        ("0871 222 3344", "«phone»"),
        ("+44 (871) 222-3344", "«phone»"),
        ("KL341", "«code»"),
        ("150ppm", "«code»"),
        ("80086", "«5 digits»"),
    ],
)
def test_what_varies_is_named_among_the_words(text: str, name: str):
    words = views(f"see {text} today").words

    assert words.startswith(f"see  {name}  today")


def test_what_is_named_stays_among_the_characters():
    assert views("Call 0871 222 3344").characters == "call 0871 222 3344"


def test_nobody_can_write_a_name_into_a_message():
    assert "«phone»" not in views("see you «phone»").words


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", " «0+ long» «0%+ capitals»"),
        ("x" * 31, " «0+ long» «0%+ capitals»"),
        ("Xx" * 16, " «32+ long» «40%+ capitals»"),
        ("X" * 500, " «160+ long» «80%+ capitals»"),
    ],
)
def test_length_and_capitals_are_named_in_steps(text: str, shape: str):
    assert views(text).words.endswith(shape)


def test_a_message_of_the_greatest_length_is_read_whole():
    read = views("x" * MAX_CHARACTERS)

    assert (len(read.characters), read.truncated) == (MAX_CHARACTERS, False)


@pytest.mark.parametrize("text", ["x" * (MAX_CHARACTERS + 1), "\ufdfa" * 500])
def test_a_message_that_is_or_becomes_longer_is_cut(text: str):
    read = views(text)

    assert (len(read.characters), read.truncated) == (MAX_CHARACTERS, True)


@pytest.mark.parametrize(("text", "position"), [("\ud800", 0), ("x" * 9_000 + "\udfff", 9_000)])
def test_a_lone_surrogate_is_refused(text: str, position: int):
    with pytest.raises(InvalidMessage) as caught:
        views(text)

    assert (caught.value.position, isinstance(caught.value, ValueError)) == (position, True)


@given(TEXT)
def test_any_text_can_be_read(text: str):
    assert not views(text).truncated


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
def test_no_repeated_pattern_takes_more_than_linear_time(pieces: list[str]):
    pattern = "".join(pieces)
    message = pattern * (MAX_CHARACTERS // len(pattern))
    started = time.process_time()

    views(message)

    assert time.process_time() - started < 0.2  # 0.03 s; quadratic would be 2 s or more
