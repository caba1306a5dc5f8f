"""Own the scikit-learn pipeline and the folding of a fitted one into plain numbers for serving.

Needed for training only: serving reads the folded model (`artefact.py`, `inference.py`).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from ml.artefact import FoldedModel, ViewWeights
from ml.corpus import LabelledMessage, fingerprint
from ml.normalise import views
from ml.terms import CHARACTER_NGRAMS, WORD_PATTERN

_views = lru_cache(maxsize=10_000)(views)  # read for each view and each fold again


def build_pipeline() -> Pipeline:
    """Assemble the untrained model: raw text in, probability of spam out.

    Source: the best of about 20 pipelines on the SMS Spam Collection (Almeida et al. 2011), by F1.
    """
    words = TfidfVectorizer(
        preprocessor=words_of, token_pattern=WORD_PATTERN, ngram_range=(1, 2), sublinear_tf=True
    )
    characters = TfidfVectorizer(
        preprocessor=characters_of,
        analyzer="char_wb",
        ngram_range=CHARACTER_NGRAMS,
        min_df=2,  # most fragments that occur once are noise, and half of the vocabulary
        sublinear_tf=True,
    )
    features = FeatureUnion([("words", words), ("characters", characters)])
    # liblinear is the fastest here, and gives the same model on each run
    classifier = LogisticRegression(C=300, solver="liblinear")
    return Pipeline([("features", features), ("classifier", classifier)])


def fit(messages: Sequence[LabelledMessage]) -> Pipeline:
    """Train on messages; about 1 s for 4,500 SMS."""
    pipeline = build_pipeline()
    pipeline.fit([message.text for message in messages], [m.is_spam for m in messages])
    return pipeline


def spam_probabilities(pipeline: Pipeline, messages: Sequence[LabelledMessage]) -> list[float]:
    """Score messages with scikit-learn itself, in their order."""
    scores = pipeline.predict_proba([message.text for message in messages])[:, 1]
    return [float(score) for score in scores]


def fold_pipeline(pipeline: Pipeline, messages: Sequence[LabelledMessage]) -> FoldedModel:
    """Reduce a pipeline, and the messages it was fitted on, to what serving needs."""
    features, classifier = pipeline["features"], pipeline["classifier"]
    words, characters = (vectoriser for _, vectoriser in features.transformer_list)
    n_words = len(words.idf_)
    return FoldedModel(
        words=_fold_view(words, classifier.coef_[0][:n_words]),
        characters=_fold_view(characters, classifier.coef_[0][n_words:]),
        intercept=float(classifier.intercept_[0]),
        trained_on=np.array(sorted(fingerprint(m.text) for m in messages), dtype=np.uint64),
    )


def words_of(message: str) -> str:
    """Give the first view of a message; public, as a stored pipeline names it."""
    return _views(message).words


def characters_of(message: str) -> str:
    """Give the second view of a message; public, as a stored pipeline names it."""
    return _views(message).characters


def _fold_view(vectoriser: TfidfVectorizer, coefficients: NDArray[np.float64]) -> ViewWeights:
    terms = tuple(vectoriser.get_feature_names_out().tolist())
    return ViewWeights(terms, vectoriser.idf_, coefficients)
