"""Score messages with a trained model; loads neither scikit-learn nor joblib.

The model is linear, so a probability is the logistic function of a sum, and each term of a message
adds its own share to that sum. The shares are also the reasons given for a verdict.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import chain, zip_longest
from math import exp, isclose, log, sqrt
from pathlib import Path
from string import punctuation
from typing import Self

from ml.artefact import DEFAULT_MODEL, FoldedModel, ViewWeights, read_manifest, read_model
from ml.errors import ModelCorrupt
from ml.figures import Thresholds
from ml.normalise import Views, views
from ml.terms import character_terms, word_terms

GOLDEN = (  # between them they show each kind of feature
    "",
    "Hi, are you coming to lunch at 1? Mum says 15:30 is fine too",
    "WINNER!! You have won a £1000 prize! Call 09061 701 461 now, claim code KL341",
    "Fr33 e n t r y: see www.example.com or mail joe@example.com, 80086",
    "\u0421all m\u0435, \uff37\uff29\uff2e \xabphone\xbb caf\u0435\u0301\u200b 10 pounds",
)
REASONS = 5  # what a person reads at a glance
CACHED_CHARACTERS = 24  # of a word; longer ones seldom come back, and would fill the memory


class SpamLabel(StrEnum):
    """Name what a message is taken for."""

    HAM = "HAM"
    UNSURE = "UNSURE"
    SPAM = "SPAM"


@dataclass(frozen=True, slots=True)
class Reason:
    """Hold a part of the message and its share of the score; above 0 it speaks for spam."""

    term: str
    weight: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold what the model makes of one message.

    `threshold` is the `spam_probability` from which the label is SPAM. `reasons` are the parts that
    weigh most, heaviest first. `truncated`: only the first 8,192 characters were read.
    """

    label: SpamLabel
    spam_probability: float
    threshold: float
    reasons: tuple[Reason, ...]
    model_version: str
    truncated: bool


class SpamModel:
    """Score messages; immutable, so threads may share one. About 20 MB, loaded in 0.1 s."""

    def __init__(self, model: FoldedModel, thresholds: Thresholds, version: str) -> None:
        self.thresholds = thresholds
        self.version = version
        self._intercept = model.intercept
        self._words = _Vocabulary(model.words)
        self._characters = _Vocabulary(model.characters)
        # words repeat from message to message; a few MB when full
        self._short_fragments = lru_cache(maxsize=10_000)(
            lambda word: self._characters.find(character_terms(word))
        )

    @classmethod
    def load(cls, folder: Path = DEFAULT_MODEL) -> Self:
        """Load the model in use from an artefact's folder.

        Raises:
            ModelNotTrained: there is none; the message says how to train one.
            ModelCorrupt: it is not what training wrote, or was trained when messages were read
                in another way, so that its scores would be wrong.
        """
        manifest = read_manifest(folder)
        model = cls(read_model(folder, manifest), manifest.thresholds, manifest.version)
        for expected, found in zip_longest(manifest.golden, model.score(GOLDEN), fillvalue=-1.0):
            if not isclose(expected, found, rel_tol=0, abs_tol=1e-9):
                raise ModelCorrupt(folder, "this version of the code scores in another way")
        return model

    def score(self, messages: Iterable[str]) -> list[float]:
        """Give the probabilities of spam alone, in the order of the messages."""
        return [self.verdict(message).spam_probability for message in messages]

    def verdict(self, message: str) -> Verdict:
        """Say what a message is taken for, and why.

        Args:
            message: any text; an empty one is HAM. 0.15 ms for an SMS, 0.03 s at the worst.

        Raises:
            InvalidMessage: it has a lone surrogate.
        """
        read = views(message)
        weights = self._weigh(read)
        probability = _logistic(self._intercept + sum(weights.values()))
        return Verdict(
            label=self._label(probability),
            spam_probability=probability,
            threshold=self.thresholds.spam,
            reasons=_heaviest(weights),
            model_version=self.version,
            truncated=read.truncated,
        )

    def _weigh(self, read: Views) -> dict[str, float]:
        """Part the score, less the intercept, among the words of the message and their pairs."""
        weights: defaultdict[str, float] = defaultdict(float)
        places = self._words.places
        words = [(term, places[term]) for term in word_terms(read.words) if term in places]
        shares, length = self._words.shares([place for _, place in words])
        for term, place in words:
            weights[term] += shares[place] / length
        # of characters, not each fragment is named but its word: `winn` tells a reader nothing
        fragments = [(word, self._fragments(word)) for word in read.characters.split()]
        shares, length = self._characters.shares(chain.from_iterable([f[1] for f in fragments]))
        for word, found in fragments:
            if found:
                name = word.strip(punctuation) or word
                weights[name] += sum([shares[place] for place in found]) / length
        return weights

    def _fragments(self, word: str) -> tuple[int, ...]:
        if len(word) > CACHED_CHARACTERS:
            return self._characters.find(character_terms(word))
        return self._short_fragments(word)

    def _label(self, probability: float) -> SpamLabel:
        if probability >= self.thresholds.spam:
            return SpamLabel.SPAM
        return SpamLabel.UNSURE if probability >= self.thresholds.unsure else SpamLabel.HAM


class _Vocabulary:
    """Weigh the terms of one view: tf-idf, scaled to length 1, times the coefficients."""

    def __init__(self, weights: ViewWeights) -> None:
        self.places = {term: place for place, term in enumerate(weights.terms)}
        # lists, as an item of an array is slower to read
        self._squares: list[float] = (weights.idf**2).tolist()
        self._products: list[float] = (weights.idf * weights.coefficients).tolist()

    def find(self, terms: Iterable[str]) -> tuple[int, ...]:
        """Find the places of those terms that the model knows."""
        places = self.places
        return tuple([places[term] for term in terms if term in places])

    def shares(self, places: Iterable[int]) -> tuple[dict[int, float], float]:
        """Weigh terms that were found in a message, repeated as they are.

        Returns:
            What one occurrence of each adds to the score, and the length to divide it by.
        """
        squares, products = self._squares, self._products
        shares: dict[int, float] = {}
        square = 0.0
        for place, count in Counter(places).items():
            if count == 1:  # nearly always
                square += squares[place]
                shares[place] = products[place]
            else:
                frequency = 1.0 + log(count)
                square += frequency * frequency * squares[place]
                shares[place] = frequency / count * products[place]
        return shares, sqrt(square) or 1.0


def _logistic(x: float) -> float:
    if x < 0:  # exp of a large number would overflow
        return exp(x) / (1.0 + exp(x))
    return 1.0 / (1.0 + exp(-x))


def _heaviest(weights: dict[str, float]) -> tuple[Reason, ...]:
    terms = sorted(weights, key=lambda term: -abs(weights[term]))[:REASONS]
    return tuple([Reason(term, weights[term]) for term in terms])
