"""Own the scikit-learn pipeline, and export a fitted one as plain numbers for serving.

Only training needs this file: serving reads the exported model (`artefact.py`, `inference.py`).
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

from ml.artefact import ExportedModel, ViewWeights
from ml.channels import Channel, Recipe
from ml.corpus import LabelledMessage, fingerprint
from ml.disguise import undisguise
from ml.figures import HALF
from ml.normalise import views, windows
from ml.terms import CHARACTER_NGRAMS, WORD_PATTERN, word_terms

_views = lru_cache(maxsize=20_000)(views)  # both vectorisers and all folds read the same messages


class SpamClassifier(ClassifierMixin, BaseEstimator):
    """Score messages by their most suspicious window, as a scikit-learn estimator.

    It trains on the start of each message, because labels do not say which window is spam.
    """

    def __init__(
        self,
        channel: Channel = Channel.SMS,
        C: float = 300,  # noqa: N803  (scikit-learn's name)
        words_weight: float = 2,  # fragments weigh 1; there are three times as many
    ) -> None:
        self.channel = channel
        self.C = C
        self.words_weight = words_weight

    def fit(self, messages: Sequence[str], is_spam: Sequence[bool]) -> Self:
        """Fit to labeled messages; 0.6 s for 4,500 SMS, 15 s for 4,700 e-mails."""
        length = self.channel.recipe.training_characters
        texts = [self._plain(message)[:length] for message in messages]
        self.pipeline_ = self._build(_known_words(texts, self.channel.recipe))
        self.pipeline_.fit(texts, is_spam)
        self.classes_ = self.pipeline_.classes_
        return self

    def predict_proba(self, messages: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities of ham and spam, one row for each message."""
        window = self.channel.recipe.window_characters
        cut = [list(windows(self._plain(message), window)) for message in messages]
        scores = self.pipeline_.decision_function([window for each in cut for window in each])
        sizes = np.array([len(each) for each in cut])
        highest = np.maximum.reduceat(scores, np.cumsum(sizes) - sizes)
        # a message of n windows has n chances to look like spam by accident
        spam = expit(highest - np.log(sizes))
        return np.column_stack([1 - spam, spam])

    def predict(self, messages: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each message whether its probability of spam is 0.5 or more."""
        is_spam: NDArray[np.bool_] = self.predict_proba(messages)[:, 1] >= HALF
        return is_spam

    def _plain(self, message: str) -> str:
        return undisguise(self.channel.recipe.extract_text(message)).text

    def _build(self, words_to_know: list[str]) -> Pipeline:
        """Assemble the pipeline, which maps the text of a window to a probability of spam.

        Source: the best of about 30 pipelines on the SMS Spam Collection (Almeida et al. 2011), by
        average precision. Counting each term once (`binary`) gained most.
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
            min_df=recipe.min_documents,
            max_features=recipe.max_terms,
            binary=True,
        )
        features = FeatureUnion(
            [("words", words), ("characters", characters)],
            transformer_weights={"words": self.words_weight},
        )
        # liblinear is the fastest solver here, and deterministic
        classifier = LogisticRegression(C=self.C, solver="liblinear")
        return Pipeline([("features", features), ("classifier", classifier)])


def fit(messages: Sequence[LabelledMessage], classifier: SpamClassifier) -> SpamClassifier:
    """Fit a copy of a classifier to messages."""
    texts, labels = [m.text for m in messages], [m.is_spam for m in messages]
    fitted: SpamClassifier = clone(classifier).fit(texts, labels)
    return fitted


def export_model(classifier: SpamClassifier, messages: Sequence[LabelledMessage]) -> ExportedModel:
    """Export what serving needs of a fitted classifier and the messages it was fitted to."""
    features, linear = classifier.pipeline_["features"], classifier.pipeline_["classifier"]
    words, characters = (vectoriser for _, vectoriser in features.transformer_list)
    n_words = len(words.idf_)
    return ExportedModel(
        words=_export_view(words, classifier.words_weight * linear.coef_[0][:n_words]),
        characters=_export_view(characters, linear.coef_[0][n_words:]),
        intercept=float(linear.intercept_[0]),
        trained_on=sorted(fingerprint(m.text) for m in messages),
    )


def words_of(message: str) -> str:
    """Return the word view of a message; public because pickled pipelines refer to it."""
    return _views(message).words


def characters_of(message: str) -> str:
    """Return the character view of a message; public because pickled pipelines refer to it."""
    return _views(message).characters


def _known_words(texts: Sequence[str], recipe: Recipe) -> list[str]:
    """Choose the vocabulary of words and pairs, the most frequent if there are too many.

    Pairs that occur once are noise, and three quarters of all pairs; so are such fragments.
    """
    found = Counter(term for text in texts for term in set(word_terms(words_of(text))))
    often = [
        (term, count)
        for term, count in found.items()
        if count >= (recipe.min_documents if " " in term else recipe.min_documents_for_words)
    ]
    often.sort(key=lambda each: (-each[1], each[0]))
    return sorted(term for term, _ in often[: recipe.max_terms])


def _export_view(vectoriser: TfidfVectorizer, coefficients: NDArray[np.float64]) -> ViewWeights:
    terms = tuple(vectoriser.get_feature_names_out().tolist())
    return ViewWeights(terms, vectoriser.idf_.tolist(), coefficients.tolist())
