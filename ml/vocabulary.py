"""Compute the score of one view of a message from an exported model, fast.

A term counts once, however often it occurs, and the tf-idf vector of a view has length 1. So the
score is the sum of idf times coefficient, divided by the square root of the sum of squared idf. The
two summands of a term are stored as the imaginary and real part of one complex number: one object
to fetch from memory, which dominates the time, and one sum to compute.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import sqrt

from ml.artefact import ViewWeights
from ml.terms import character_terms

_KEPT_WORDS = 16_384  # the SMS corpus has 13,000; with half of that a verdict takes 25 us more
_KEPT_CHARACTERS = 24  # longer words rarely occur again, and would fill the cache


class WordVocabulary:
    """Score words and word pairs; each is a term."""

    def __init__(self, weights: ViewWeights) -> None:
        self._summands = dict(zip(weights.terms, _summands(weights), strict=True))

    def weigh(self, terms: Iterable[str]) -> tuple[float, dict[str, float]]:
        """Return the score of distinct terms, and the weight of each known term in it."""
        find = self._summands.get
        found = {term: summand for term in terms if (summand := find(term))}
        total = sum(found.values(), 0j)
        length = _length(total)
        return total.imag / length, {term: found[term].imag / length for term in found}


class CharacterVocabulary:
    """Score words by their fragments; each fragment is a term."""

    def __init__(self, weights: ViewWeights) -> None:
        self._places = {term: place for place, term in enumerate(weights.terms)}
        self._summands = _summands(weights)
        self._find_kept = lru_cache(_KEPT_WORDS)(self._find)

    def weigh(self, words: Iterable[str]) -> tuple[float, dict[str, float]]:
        """Return the score of distinct words, and the weight of each word with known fragments.

        A fragment that several words contain counts once in the score, but in the weight of each.
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
        """Return the indexes of a word's known fragments, and their weight before scaling."""
        known = self._places
        places = {known[term] for term in character_terms(word) if term in known}
        return tuple(places), sum([self._summands[place].imag for place in places])


def _summands(weights: ViewWeights) -> list[complex]:
    pairs = zip(weights.idf, weights.coefficients, strict=True)
    return [complex(idf * idf, idf * coefficient) for idf, coefficient in pairs]


def _length(total: complex) -> float:
    return sqrt(total.real) or 1.0  # no known terms: nothing to scale
