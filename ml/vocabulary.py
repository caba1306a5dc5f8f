"""Weigh the terms of one view of a message by a folded model: idf times coefficient, fast.

A term counts once, however often it occurs, and all weights of a view are scaled to a length of 1:
the score is the sum of idf times coefficient, divided by the root of the sum of squared idf. Both
summands of a term are kept as the two parts of one complex number. That is one object to fetch
from memory, which is what takes the time, and one sum to build.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import sqrt

from ml.artefact import ViewWeights
from ml.terms import character_terms

_KEPT_WORDS = 16_384  # the SMS corpus has 13,000; with half of that a verdict takes 25 us more
_KEPT_CHARACTERS = 24  # of a word; longer ones seldom come back, and would fill the memory


class WordVocabulary:
    """Weigh words and pairs of words, each a term of its own."""

    def __init__(self, weights: ViewWeights) -> None:
        self._summands = dict(zip(weights.terms, _summands(weights), strict=True))

    def weigh(self, terms: Iterable[str]) -> tuple[float, dict[str, float]]:
        """Give the score of distinct terms together, and the share in it of each that is known."""
        find = self._summands.get
        found = {term: summand for term in terms if (summand := find(term))}
        total = sum(found.values(), 0j)
        length = _length(total)
        return total.imag / length, {term: found[term].imag / length for term in found}


class CharacterVocabulary:
    """Weigh words by their fragments."""

    def __init__(self, weights: ViewWeights) -> None:
        self._places = {term: place for place, term in enumerate(weights.terms)}
        self._summands = _summands(weights)
        self._find_kept = lru_cache(_KEPT_WORDS)(self._find)

    def weigh(self, words: Iterable[str]) -> tuple[float, dict[str, float]]:
        """Give the score of distinct words together, and the share of each that has known terms.

        A fragment of several words is in the share of each, and once in the score.
        """
        found = [
            (word, *(self._find_kept if len(word) <= _KEPT_CHARACTERS else self._find)(word))
            for word in words
        ]
        places = set().union(*[places for _, places, _ in found])
        total = sum(map(self._summands.__getitem__, places), 0j)
        length = _length(total)
        return total.imag / length, {word: share / length for word, _, share in found if share}

    def _find(self, word: str) -> tuple[tuple[int, ...], float]:
        """Find the fragments of a word that the model knows, and their share before scaling."""
        known = self._places
        places = {known[term] for term in character_terms(word) if term in known}
        return tuple(places), sum([self._summands[place].imag for place in places])


def _summands(weights: ViewWeights) -> list[complex]:
    pairs = zip(weights.idf, weights.coefficients, strict=True)
    return [complex(idf * idf, idf * coefficient) for idf, coefficient in pairs]


def _length(total: complex) -> float:
    return sqrt(total.real) or 1.0  # nothing known: nothing to scale
