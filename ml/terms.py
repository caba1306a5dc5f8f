"""Split the two views of a message into terms, exactly as scikit-learn's analyzers do."""

import re
from itertools import pairwise

# A token of `normalise.py`; a word; a character of a script without blanks; a symbol such as `!`.
WORD_PATTERN = r"«[^»]{1,16}»|[^\W\u3040-\u9fff]+|[\u3040-\u9fff]|[^\w\s]"
CHARACTER_NGRAMS = (2, 4)

_find_tokens = re.compile(WORD_PATTERN).findall


def word_terms(words: str) -> list[str]:
    """Return words and word pairs, as `TfidfVectorizer(ngram_range=(1, 2))` does."""
    tokens: list[str] = _find_tokens(words)
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def character_terms(word: str) -> list[str]:
    """Return the fragments of a word, as `TfidfVectorizer(analyzer="char_wb")` does."""
    padded = f" {word} "
    shortest, longest = CHARACTER_NGRAMS
    return [
        padded[start : start + size]
        for size in range(shortest, min(longest, max(shortest, len(padded))) + 1)
        for start in range(max(1, len(padded) - size + 1))
    ]
