"""Text: counts words as a map-reduce, split, then counted part by part, then merged."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated

from pydantic import BaseModel, Field

from tasks.celery_app import app

_TEXT_MAX = 100_000  # characters; each part of a workflow is handed all parts
_PARTS_MAX = 100
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")  # of any script; with `don't`, `well-known`

Text = Annotated[str, Field(max_length=_TEXT_MAX)]


class WordCount(BaseModel):
    """How often a word occurs."""

    word: Annotated[str, Field(max_length=_TEXT_MAX)] = Field(description="In lower case.")
    count: int = Field(ge=0, le=_PARTS_MAX * _TEXT_MAX, description="How often it occurs.")


WordCounts = Annotated[list[WordCount], Field(max_length=_TEXT_MAX)]


@app.task
def split_text(
    text: Annotated[Text, Field(description="What to split.")],
    parts: Annotated[int, Field(ge=1, le=_PARTS_MAX, description="How many parts to make.")],
) -> list[str]:
    """Split a text between words into parts of about as many words; some may be empty."""
    words = text.split()
    ends = [len(words) * part // parts for part in range(parts + 1)]
    return [" ".join(words[ends[part] : ends[part + 1]]) for part in range(parts)]


@app.task
def count_words(
    texts: Annotated[list[Text], Field(max_length=_PARTS_MAX, description="All parts.")],
    part: Annotated[int, Field(ge=0, lt=_PARTS_MAX, description="Which to count, from 0.")],
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
    most: Annotated[int, Field(ge=1, le=1_000, description="How many words to name.")] = 20,
) -> WordCounts:
    """Add up the word counts of all parts, and name the most frequent; ties by the alphabet."""
    total: Counter[str] = Counter()
    for counted in counts:
        for found in counted:
            total[found.word] += found.count
    return _ranked(total)[:most]


def _ranked(counts: Counter[str]) -> list[WordCount]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [WordCount(word=word, count=count) for word, count in ranked]
