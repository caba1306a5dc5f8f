"""Score messages with a trained model, without scikit-learn or joblib.

The model is linear: a probability is the logistic function of the sum of the weights of a message's
terms. The words with the largest weights are the reasons given for a verdict.
"""

from collections.abc import Iterable
from heapq import nlargest
from itertools import zip_longest
from math import exp, isclose, log
from operator import itemgetter
from pathlib import Path
from string import punctuation
from typing import NamedTuple, Self

from ml.artefact import ExportedModel, read_model
from ml.channels import Channel
from ml.disguise import undisguise
from ml.errors import ModelCorrupt
from ml.figures import Thresholds
from ml.manifest import read_manifest
from ml.normalise import views, windows
from ml.terms import word_terms
from ml.verdict import Reason, SpamLabel, Verdict
from ml.vocabulary import CharacterVocabulary, WordVocabulary

GOLDEN = (  # together they contain every kind of feature
    "",
    "Hi, are you coming to lunch at 1? Mum says 15:30 is fine too",
    "WINNER!! You have won a £1000 prize! Call 09061 701 461 now, claim code KL341",
    "Fr33 e n t r y: see www.example.com or mail joe@example.com, 80086" + ", then home" * 30,
    "\u0421all m\u0435, \uff37\uff29\uff2e \xabphone\xbb caf\u0435\u0301\u200b 10 pounds",
)
REASONS = 5  # as many as a person reads at a glance


class Score(NamedTuple):
    """Hold what a verdict is based on; `unknown` is the share of unknown words and pairs."""

    spam_probability: float
    unknown: float
    weights: dict[str, float]
    truncated: bool


class _Window(NamedTuple):
    """Hold a window's score, the weights of its words, and its number of (unknown) terms."""

    score: float
    weights: dict[str, float]
    unknown: int
    terms: int


class SpamModel:
    """Score messages; immutable, so threads can share it. About 8 MB, loads in 0.03 s."""

    def __init__(
        self, model: ExportedModel, channel: Channel, thresholds: Thresholds, version: str
    ) -> None:
        self.thresholds = thresholds
        self.version = version
        self._recipe = channel.recipe
        self._intercept = model.intercept
        self._words = WordVocabulary(model.words)
        self._characters = CharacterVocabulary(model.characters)

    @classmethod
    def load(
        cls,
        folder: Path,
        trusted: frozenset[str] = frozenset(),
        channel: Channel | None = None,
    ) -> Self:
        """Load the model in use from a model folder.

        Args:
            folder: where training wrote the model.
            trusted: SHA-256 of the manifests to accept; if empty, those that training recorded.
            channel: the channel that the model must be for; None accepts any.

        Raises:
            ModelNotTrained: there is no model; the message says how to train one.
            ModelCorrupt: the model is not what training wrote, is for another channel, or was
                trained with code that reads messages differently, so its scores would be wrong.
        """
        manifest = read_manifest(folder, trusted)
        if channel not in (None, manifest.channel):
            raise ModelCorrupt(folder, f"it is for {manifest.channel} messages, not for {channel}")
        exported = read_model(folder, manifest)
        model = cls(exported, manifest.channel, manifest.thresholds, manifest.version)
        scores = model.probabilities(GOLDEN)
        for expected, found in zip_longest(manifest.golden, scores, fillvalue=-1.0):
            if not isclose(expected, found, rel_tol=0, abs_tol=1e-9):
                reason = "its scores differ from those at training: the code or Unicode changed"
                raise ModelCorrupt(folder, reason)
        return model

    def probabilities(self, messages: Iterable[str]) -> list[float]:
        """Return the probability of spam for each message, in order."""
        return [self.score(message).spam_probability for message in messages]

    def verdict(self, message: str) -> Verdict:
        """Classify a message and give the reasons; 0.15 ms for an SMS, 0.03 s at worst.

        Args:
            message: any text; an empty one is HAM.

        Raises:
            InvalidMessage: the message has a lone surrogate.
        """
        score = self.score(message)
        return Verdict(
            label=self._label(score),
            spam_probability=score.spam_probability,
            threshold=self.thresholds.spam,
            reasons=_heaviest(score.weights),
            model_version=self.version,
            truncated=score.truncated,
            out_of_domain=score.unknown >= self.thresholds.unknown,
        )

    def score(self, message: str) -> Score:
        """Score a message by its most suspicious window.

        Raises:
            InvalidMessage: the message has a lone surrogate.
        """
        plain = undisguise(self._recipe.extract_text(message))
        weighed = [
            self._weigh(window) for window in windows(plain.text, self._recipe.window_characters)
        ]
        worst = max(weighed, key=itemgetter(0))
        terms = sum([window.terms for window in weighed])
        return Score(
            # a message of n windows has n chances to look like spam by accident
            spam_probability=_logistic(worst.score - log(len(weighed))),
            unknown=sum([window.unknown for window in weighed])
            / (terms + self._recipe.unknown_smoothing),
            weights=worst.weights,
            truncated=plain.truncated,
        )

    def _weigh(self, window: str) -> _Window:
        read = views(window)
        terms = dict.fromkeys(word_terms(read.words))
        by_words, weights = self._words.weigh(terms)
        unknown = len(terms) - len(weights)
        by_characters, more = self._characters.weigh(dict.fromkeys(read.characters.split()))
        # a reason names the word of a fragment: the fragment `winn` alone says little
        for word, weight in more.items():
            name = word.strip(punctuation) or word
            weights[name] = weights.get(name, 0.0) + weight
        score = self._intercept + by_words + by_characters
        return _Window(score, weights, unknown, len(terms))

    def _label(self, score: Score) -> SpamLabel:
        if score.spam_probability >= self.thresholds.spam:
            return SpamLabel.SPAM
        # the unread rest of a truncated message may be spam
        if score.truncated or score.spam_probability >= self.thresholds.unsure:
            return SpamLabel.UNSURE
        return SpamLabel.HAM


def _logistic(x: float) -> float:
    if x < 0:  # exp(-x) would overflow
        return exp(x) / (1.0 + exp(x))
    return 1.0 / (1.0 + exp(-x))


def _heaviest(weights: dict[str, float]) -> tuple[Reason, ...]:
    terms = nlargest(REASONS, weights, key=lambda term: abs(weights[term]))
    return tuple([Reason(term, weights[term]) for term in terms])
