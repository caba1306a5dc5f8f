"""Own the scikit-learn pipeline and the folding of a fitted one into plain numbers for serving.

Needed for training only: serving reads the folded model (`artefact.py`, `inference.py`).
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from ml.artefact import FoldedModel, ViewWeights
from ml.channels import Channel, Recipe
from ml.corpus import LabelledMessage, fingerprint
from ml.disguise import undisguise
from ml.figures import HALF
from ml.normalise import views, windows
from ml.terms import CHARACTER_NGRAMS, WORD_PATTERN, word_terms

_views = lru_cache(maxsize=20_000)(views)  # read for each kind of term, and for each fold again


class SpamClassifier(ClassifierMixin, BaseEstimator):
    """Judge messages by their most suspicious window, as a scikit-learn estimator.

    It learns from the beginnings of messages: which window of it makes a message spam, nobody said.
    """

    def __init__(
        self,
        channel: Channel = Channel.SMS,
        C: float = 300,  # noqa: N803  (scikit-learn's name)
        words_weight: float = 2,  # beside 1 for fragments, of which there are three times as many
    ) -> None:
        self.channel = channel
        self.C = C
        self.words_weight = words_weight

    def fit(self, messages: Sequence[str], is_spam: Sequence[bool]) -> Self:
        """Learn from messages and their labels; 0.6 s for 4,500 SMS, 15 s for 4,700 e-mails."""
        learnt = self.channel.recipe.learnt
        texts = [self._plain(message)[:learnt] for message in messages]
        self.pipeline_ = self._build(_known_words(texts, self.channel.recipe))
        self.pipeline_.fit(texts, is_spam)
        self.classes_ = self.pipeline_.classes_
        return self

    def predict_proba(self, messages: Sequence[str]) -> NDArray[np.float64]:
        """Give the probabilities of ham and of spam, a row for each message."""
        window = self.channel.recipe.window
        cut = [list(windows(self._plain(message), window)) for message in messages]
        scores = self.pipeline_.decision_function([window for each in cut for window in each])
        sizes = np.array([len(each) for each in cut])
        highest = np.maximum.reduceat(scores, np.cumsum(sizes) - sizes)
        # n windows have n chances to look like spam by accident
        spam = expit(highest - np.log(sizes))
        return np.column_stack([1 - spam, spam])

    def predict(self, messages: Sequence[str]) -> NDArray[np.bool_]:
        """Say of each message whether it is spam: from a probability of 0.5."""
        is_spam: NDArray[np.bool_] = self.predict_proba(messages)[:, 1] >= HALF
        return is_spam

    def _plain(self, message: str) -> str:
        return undisguise(self.channel.recipe.text_of(message)).text

    def _build(self, words_to_know: list[str]) -> Pipeline:
        """Assemble the untrained model: the text of a window in, probability of spam out.

        Source: the best of about 30 pipelines on the SMS Spam Collection (Almeida et al. 2011), by
        average precision. That a term counts once, however often it occurs, gained most.
        """
        recipe = self.channel.recipe
        words = TfidfVectorizer(
            preprocessor=words_of,
            token_pattern=WORD_PATTERN,
            ngram_range=(1, 2),
            vocabulary=words_to_know,
            binary=True,
        )
        characters = TfidfVectorizer(
            preprocessor=characters_of,
            analyzer="char_wb",
            ngram_range=CHARACTER_NGRAMS,
            min_df=recipe.min_messages,
            max_features=recipe.max_terms,
            binary=True,
        )
        features = FeatureUnion(
            [("words", words), ("characters", characters)],
            transformer_weights={"words": self.words_weight},
        )
        # liblinear is the fastest here, and gives the same model on each run
        classifier = LogisticRegression(C=self.C, solver="liblinear")
        return Pipeline([("features", features), ("classifier", classifier)])


def fit(messages: Sequence[LabelledMessage], classifier: SpamClassifier) -> SpamClassifier:
    """Train a classifier like that one on messages."""
    texts, labels = [m.text for m in messages], [m.is_spam for m in messages]
    fitted: SpamClassifier = clone(classifier).fit(texts, labels)
    return fitted


def fold(classifier: SpamClassifier, messages: Sequence[LabelledMessage]) -> FoldedModel:
    """Reduce a classifier, and the messages it was fitted on, to what serving needs."""
    features, linear = classifier.pipeline_["features"], classifier.pipeline_["classifier"]
    words, characters = (vectoriser for _, vectoriser in features.transformer_list)
    n_words = len(words.idf_)
    return FoldedModel(
        words=_fold_view(words, classifier.words_weight * linear.coef_[0][:n_words]),
        characters=_fold_view(characters, linear.coef_[0][n_words:]),
        intercept=float(linear.intercept_[0]),
        trained_on=sorted(fingerprint(m.text) for m in messages),
    )


def words_of(message: str) -> str:
    """Give the first view of a message; public, as a stored pipeline names it."""
    return _views(message).words


def characters_of(message: str) -> str:
    """Give the second view of a message; public, as a stored pipeline names it."""
    return _views(message).characters


def _known_words(texts: Sequence[str], recipe: Recipe) -> list[str]:
    """Choose the words and pairs of words to know, the most frequent if there are too many.

    Of pairs, and of fragments, those that occur once are noise, and three quarters of all.
    """
    found = Counter(term for text in texts for term in set(word_terms(words_of(text))))
    often = [
        (term, count)
        for term, count in found.items()
        if count >= (recipe.min_messages if " " in term else recipe.min_messages_of_words)
    ]
    often.sort(key=lambda each: (-each[1], each[0]))
    return sorted(term for term, _ in often[: recipe.max_terms])


def _fold_view(vectoriser: TfidfVectorizer, coefficients: NDArray[np.float64]) -> ViewWeights:
    terms = tuple(vectoriser.get_feature_names_out().tolist())
    return ViewWeights(terms, vectoriser.idf_.tolist(), coefficients.tolist())
