import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.disguise import MAX_CHARACTERS
from ml.normalise import views, windows

PIECES = [*"a1 .-_*,@$!|€£+(é", "www.", "http://", "a.", "1,", "com/", "\n"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://a.example/b?c=d", "«url»"),
        ("www.example.org", "«url»"),
        ("prizes.co.uk/now", "«url»"),
        ("prize.zone/claim", "«url»"),
        ("joe.bloggs@example.org", "«mail»"),
        ("£1,000.50", "«money»"),
        ("$500", "«money»"),
        ("₹2,000", "«money»"),
        ("100 pounds", "«money»"),
        ("0871 222 3344", "«phone»"),
        ("+44 (871) 222-3344", "«phone»"),
        ("KL341", "«code»"),
        ("150ppm", "«code»"),
        ("80086", "«5 digits»"),
    ],
)
def test_variable_parts_become_tokens_in_the_word_view(text: str, name: str):
    words = views(f"see {text} today").words

    assert words.startswith(f"see  {name}  today")


def test_variable_parts_stay_in_the_character_view():
    assert views("Call 0871 222 3344").characters == "call 0871 222 3344"


def test_leet_is_spelt_in_letters_in_both_views():
    read = views("fr33 c@$h")

    assert (read.words.split()[:2], read.characters) == (["free", "cash"], "free cash")


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", " «0+ long» «0%+ capitals»"),
        ("x" * 31, " «0+ long» «0%+ capitals»"),
        ("Xx" * 16, " «32+ long» «40%+ capitals»"),
        ("X" * 500, " «160+ long» «80%+ capitals»"),
    ],
)
def test_length_and_capitals_become_tokens(text: str, shape: str):
    assert views(text).words.endswith(shape)


@pytest.mark.parametrize("text", ["", "short", "x" * 240])
def test_a_short_text_is_one_window(text: str):
    assert list(windows(text, 160)) == [text]


@given(st.text(alphabet="ab ", max_size=2_000), st.integers(min_value=4, max_value=200))
def test_every_short_word_lies_completely_within_a_window(text: str, size: int):
    cut = list(windows(text, size))

    held = {word for window in cut for word in window.split()}
    assert {word for word in text.split() if len(word) <= size // 4} <= held


@given(st.text(alphabet="ab ", max_size=2_000), st.integers(min_value=4, max_value=200))
def test_windows_are_few_and_not_longer_than_the_size(text: str, size: int):
    cut = list(windows(text, size))

    assert max(map(len, cut)) <= max(size, 3 * size // 2 if len(cut) == 1 else 0)
    assert len(cut) <= 1 + 4 * len(text) // size


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
def test_repeated_patterns_take_linear_time(pieces: list[str]):
    pattern = "".join(pieces)
    text = pattern * (MAX_CHARACTERS // len(pattern))
    started = time.process_time()

    views(text)

    assert time.process_time() - started < 0.2  # takes 0.03 s; quadratic time would be 2 s or more
