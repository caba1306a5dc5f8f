"""Text tasks, which count words as a map-reduce: split, count each part, merge."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated

from pydantic import BaseModel, Field

from tasks.celery_app import app

_TEXT_MAX = 100_000  # characters; in a workflow, each counting step receives all parts
_PARTS_MAX = 100
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")  # any script; also `don't`, `well-known`

Text = Annotated[str, Field(max_length=_TEXT_MAX)]


class WordCount(BaseModel):
    """How often a word occurs."""

    word: Annotated[str, Field(max_length=_TEXT_MAX)] = Field(description="The word in lower case.")
    count: int = Field(ge=0, le=_PARTS_MAX * _TEXT_MAX, description="How often it occurs.")


WordCounts = Annotated[list[WordCount], Field(max_length=_TEXT_MAX)]


@app.task
def split_text(
    text: Annotated[Text, Field(description="The text to split.")],
    parts: Annotated[int, Field(ge=1, le=_PARTS_MAX, description="The number of parts.")],
) -> list[str]:
    """Split a text into parts with about the same number of words; parts may be empty."""
    words = text.split()
    ends = [len(words) * part // parts for part in range(parts + 1)]
    return [" ".join(words[ends[part] : ends[part + 1]]) for part in range(parts)]


@app.task
def count_words(
    texts: Annotated[list[Text], Field(max_length=_PARTS_MAX, description="All parts.")],
    part: Annotated[
        int, Field(ge=0, lt=_PARTS_MAX, description="The part to count, starting at 0.")
    ],
) -> WordCounts:
    """Count the words of one part of a text, most frequent first."""
    if part >= len(texts):
        raise ValueError(f"there is no part {part}: there are {len(texts)}, counted from 0")
    return _ranked(Counter(_WORD.findall(texts[part].casefold())))


@app.task
def merge_counts(
    counts: Annotated[
        list[WordCounts], Field(max_length=_PARTS_MAX, description="The counts of each part.")
    ],
    most: Annotated[int, Field(ge=1, le=1_000, description="How many words to return.")] = 20,
) -> WordCounts:
    """Add up the word counts of all parts; most frequent first, ties in alphabetical order."""
    total: Counter[str] = Counter()
    for counted in counts:
        for found in counted:
            total[found.word] += found.count
    return _ranked(total)[:most]


def _ranked(counts: Counter[str]) -> list[WordCount]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [WordCount(word=word, count=count) for word, count in ranked]
