"""Cut the two views of a message into terms, as scikit-learn's analysers do."""

import re
from itertools import pairwise

# A name put in by `normalise.py`; a word, or a character of a script without blanks; a sign: `!`.
WORD_PATTERN = r"«[^»]{1,16}»|[^\W\u3040-\u9fff]+|[\u3040-\u9fff]|[^\w\s]"
CHARACTER_NGRAMS = (2, 4)

_find_tokens = re.compile(WORD_PATTERN).findall


def word_terms(words: str) -> list[str]:
    """Give each token, then each pair of neighbours; as `TfidfVectorizer(ngram_range=(1, 2))`."""
    tokens: list[str] = _find_tokens(words)
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def character_terms(word: str) -> list[str]:
    """Give each fragment of a word and its blanks; as `TfidfVectorizer(analyzer="char_wb")`."""
    padded = f" {word} "
    shortest, longest = CHARACTER_NGRAMS
    return [
        padded[start : start + size]
        for size in range(shortest, min(longest, max(shortest, len(padded))) + 1)
        for start in range(max(1, len(padded) - size + 1))
    ]
