"""Test the tasks of the word count, alone and together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryql.errors import InvalidArguments
from tasks.text import WordCount, count_words, merge_counts, split_text


def counts(**words: int) -> list[WordCount]:
    return [WordCount(word=word, count=count) for word, count in words.items()]


@pytest.mark.parametrize(
    ("text", "parts", "split"),
    [
        ("to be or not to be", 3, ["to be", "or not", "to be"]),
        ("one\n two\tthree", 2, ["one", "two three"]),
        ("one two", 4, ["", "one", "", "two"]),
        ("", 2, ["", ""]),
        ("all of it", 1, ["all of it"]),
    ],
)
def test_text_is_split_between_words_into_the_given_number_of_parts(text, parts, split):
    assert split_text(text, parts) == split


def test_only_the_words_of_the_given_part_are_counted():
    assert count_words(["left out", "To be, or not to be: don't!", "out"], 1) == counts(
        be=2, to=2, **{"don't": 1}, **{"not": 1, "or": 1}
    )


def test_a_part_without_words_has_no_counts():
    assert count_words(["", "- ... _"], 1) == []


def test_a_missing_part_is_reported_with_its_number():
    with pytest.raises(ValueError, match="there is no part 2: there are 2, counted from 0"):
        count_words(["a", "b"], 2)


def test_merged_counts_are_sorted_by_frequency_then_alphabet():
    merged = merge_counts([counts(b=1, a=2), [], counts(c=3, b=1)])

    assert merged == counts(c=3, a=2, b=2)


def test_merged_counts_are_limited():
    assert merge_counts([counts(a=1, b=2, c=3)], most=2) == counts(c=3, b=2)
    assert len(merge_counts([[WordCount(word=f"w{i}", count=1) for i in range(50)]])) == 20


@given(
    st.lists(st.sampled_from(["a", "B", "b", "well-known", "7", ",", "é"]), max_size=30),
    st.integers(1, 8),
)
def test_counting_by_parts_equals_counting_the_whole(words, parts):
    texts = split_text(" ".join(words), parts)

    merged = merge_counts([count_words(texts, part) for part in range(parts)], most=1000)

    assert len(texts) == parts
    assert merged == count_words([" ".join(words)], 0)


@pytest.mark.parametrize(
    ("task", "arguments", "problem"),
    [
        (split_text, {"text": "a", "parts": 0}, "parts: .*greater than or equal to 1"),
        (split_text, {"text": "a", "parts": 101}, "parts: .*less than or equal to 100"),
        (split_text, {"text": "x" * 100_001, "parts": 1}, "text: .*at most 100000 characters"),
        (count_words, {"texts": ["a"] * 101, "part": 0}, "texts: .*at most 100 items"),
        (count_words, {"texts": ["a"], "part": -1}, "part: .*greater than or equal to 0"),
        (merge_counts, {"counts": [[]] * 101}, "counts: .*at most 100 items"),
        (merge_counts, {"counts": [], "most": 0}, "most: .*greater than or equal to 1"),
        (merge_counts, {"counts": [[{"word": "a"}]]}, "counts.0.0.count: Field required"),
    ],
)
def test_arguments_have_bounds(task, arguments, problem):
    with pytest.raises(InvalidArguments, match=problem):
        task.definition.bind((), arguments)
