import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.disguise import MAX_CHARACTERS, undisguise, unleet
from ml.errors import InvalidMessage

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    "disguised",
    [
        "\uff26\uff32\uff25\uff25",  # full-width
        "FR\u0415\u0415",  # Cyrillic
        "F\u200bR\u00adEE",  # invisible characters
        "F\u0336R\u0336E\u0336E\u0336",  # struck through
        "\u24bb\u24c7\u24ba\u24ba",  # circled
        "\U0001f175\U0001f181\U0001f174\U0001f174",  # in boxes
        "\U0001d5d9\U0001d5e5\U0001d5d8\U0001d5d8",  # mathematical
        "F\u13d2\u13ac\u13ac",  # Cherokee
        "FŘÊË",
        "F R E E",
        "F.R.E.E",
        "F-R-E-E",
        "F_R_E_E",
        "F*R*E*E",
        "F\u00b7R\u00b7E\u00b7E",
        "F - R - E - E",
        "F\nR\nE\nE",
        "&#70;RE&#x45;",
        "F&shy;REE",
        "F\x00R\x01EE",
        "F\u1dc0R\U000e0100EE",  # an accent and a selector that are in no table
    ],
)
def test_a_disguised_word_is_restored(disguised: str):
    assert undisguise(f"win {disguised} cash").text == "win FREE cash"


@pytest.mark.parametrize(
    ("disguised", "word"),
    [("fr33", "free"), ("c@$h", "cash"), ("pr!z3", "prize"), ("n07", "not"), ("0n", "on")],
)
def test_leet_is_spelt_in_letters(disguised: str, word: str):
    assert unleet(disguised) == word


@pytest.mark.parametrize(
    "word", ["150p", "2nd", "18yrs", "kl341", "80086", "2nite", "w26h", "10am"]
)
def test_amounts_times_and_codes_are_not_leet(word: str):
    assert unleet(word) is None


def test_spaced_digits_and_spaced_letters_are_joined_separately():
    assert undisguise("t e x t 8 0 0 8 6 now").text == "text 80086 now"


@pytest.mark.parametrize("text", ["u.s", "I a", "你好吗", "Ελλάδα 2 4"])
def test_text_that_resembles_a_disguise_is_left_alone(text: str):
    assert len(undisguise(text).text) == len(text)


def test_a_symbol_between_all_letters_is_deleted():
    assert undisguise("\u00b7".join("call me now")).text == "call me now"


@pytest.mark.parametrize("text", ["See you  at\nlunch   ", " See you at lunch" + " " * 500])
def test_runs_of_blanks_become_one_blank(text: str):
    assert undisguise(text).text == "See you at lunch"


def test_a_drawn_line_becomes_three_symbols():
    assert undisguise("See you" + "-" * 400).text == "See you---"


@pytest.mark.parametrize(
    "run", ["\u0344" * 4_096 + "\u0f73" * 4_096, "\ufdfa" * 8_192, "&#" * 4_096]
)
def test_text_that_is_slow_to_normalize_is_handled_fast(run: str):
    started = time.process_time()

    undisguise(run)

    assert time.process_time() - started < 0.2  # takes 0.01 s; one NFKD call on all takes 0.5 s


def test_a_message_cannot_contain_a_token_of_ours():
    assert undisguise("see you «phone»").text == 'see you "phone"'


def test_a_message_of_the_maximum_length_is_not_truncated():
    plain = undisguise("x" * MAX_CHARACTERS)

    assert (len(plain.text), plain.truncated) == (MAX_CHARACTERS, False)


@pytest.mark.parametrize("text", ["x" * (MAX_CHARACTERS + 1), "\ufdfa" * 500])
def test_a_message_that_is_or_becomes_too_long_is_truncated(text: str):
    plain = undisguise(text)

    assert (len(plain.text) <= MAX_CHARACTERS, plain.truncated) == (True, True)


@pytest.mark.parametrize(("text", "position"), [("\ud800", 0), ("x" * 9_000 + "\udfff", 9_000)])
def test_a_lone_surrogate_is_refused(text: str, position: int):
    with pytest.raises(InvalidMessage) as caught:
        undisguise(text)

    assert (caught.value.position, isinstance(caught.value, ValueError)) == (position, True)


@given(TEXT)
def test_any_text_is_accepted(text: str):
    assert not undisguise(text).truncated


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*"a1 .-_*é\u0301\u200b\ufdfa"]), min_size=1, max_size=4))
def test_repeated_patterns_take_linear_time(pieces: list[str]):
    pattern = "".join(pieces)
    message = pattern * (MAX_CHARACTERS // len(pattern))
    started = time.process_time()

    undisguise(message)

    assert time.process_time() - started < 0.2  # takes 0.01 s; quadratic time would be 2 s or more
