from pathlib import Path

import pytest

from ml.corpus import Corpus, LabelledMessage, deduplicate, fingerprint
from ml.errors import BadCorpus


def corpus_of(*texts: str) -> Corpus:
    messages = [LabelledMessage(text, is_spam=text.startswith("WIN")) for text in texts]
    return deduplicate(Path("sms.tsv"), "5ab5", messages)


def test_the_first_of_duplicates_is_kept():
    corpus = corpus_of("WIN a prize!", "Hello", "\uff37in... a  PRIZE")

    assert corpus.messages == (
        LabelledMessage("WIN a prize!", is_spam=True),
        LabelledMessage("Hello", is_spam=False),
    )


def test_duplicates_are_counted():
    corpus = corpus_of("Hi", "hi", "Hi!", "WIN")

    assert (corpus.ham, corpus.spam, corpus.duplicates) == (1, 1, 2)


def test_different_messages_without_words_are_not_duplicates():
    assert corpus_of(":-)", ":-(").duplicates == 0


def test_a_corpus_keeps_its_path_and_hash():
    corpus = corpus_of("Hi")

    assert (corpus.path, corpus.sha256) == (Path("sms.tsv"), "5ab5")


def test_too_few_messages_of_a_label_are_refused():
    corpus = corpus_of("Hi", "WIN")

    with pytest.raises(
        BadCorpus, match=r"at least 10 .* of each label, but it has 1 ham and 1 spam"
    ):
        corpus.require_learnable()


def test_ten_messages_of_each_label_are_enough():
    corpus = corpus_of(*"abcdefghij", *(f"WIN {number}" for number in range(10)))

    corpus.require_learnable()

    assert (corpus.ham, corpus.spam) == (10, 10)


def test_a_usual_corpus_is_accepted(corpus: Corpus):
    corpus.require_learnable()

    assert (corpus.ham, corpus.spam) == (16, 16)


def test_duplicates_share_a_fingerprint():
    assert fingerprint("WIN a prize!") == fingerprint("win, a PRIZE")


def test_different_messages_have_different_fingerprints():
    assert fingerprint("WIN a prize") != fingerprint("WIN two prizes")
