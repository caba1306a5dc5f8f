from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from ml.terms import CHARACTER_NGRAMS, WORD_PATTERN, character_terms, word_terms

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WORDS = TfidfVectorizer(lowercase=False, token_pattern=WORD_PATTERN, ngram_range=(1, 2))
CHARACTERS = TfidfVectorizer(lowercase=False, analyzer="char_wb", ngram_range=CHARACTER_NGRAMS)


def test_words_symbols_tokens_and_their_pairs_are_terms():
    assert word_terms("call «phone»!") == ["call", "«phone»", "!", "call «phone»", "«phone» !"]


def test_fragments_include_the_blanks_around_a_word():
    assert character_terms("up") == [" u", "up", "p ", " up", "up ", " up "]


@given(TEXT)
def test_words_are_split_as_scikit_learn_splits_them(text: str):
    assert word_terms(text) == WORDS.build_analyzer()(text)


@given(TEXT)
def test_characters_are_split_as_scikit_learn_splits_them(text: str):
    terms = [term for word in text.split() for term in character_terms(word)]

    assert terms == CHARACTERS.build_analyzer()(text)
