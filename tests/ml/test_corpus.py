from pathlib import Path

import pytest

from ml.corpus import Corpus, LabelledMessage, fingerprint, read_corpus
from ml.errors import BadCorpus


def read(folder: Path, content: str | bytes) -> Corpus:
    file = folder / "corpus.tsv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_corpus(file)


def test_each_line_is_a_label_and_a_text(tmp_path: Path):
    corpus = read(tmp_path, "ham\tSee you\nspam\tWIN now\n")

    assert corpus.messages == (
        LabelledMessage("See you", is_spam=False),
        LabelledMessage("WIN now", is_spam=True),
    )


def test_a_text_may_hold_tabs_and_line_separators(tmp_path: Path):
    corpus = read(tmp_path, "ham\tone\ttwo\u2028three\x0bfour\n")

    assert corpus.messages[0].text == "one\ttwo\u2028three\x0bfour"


def test_a_file_from_windows_is_read_alike(tmp_path: Path):
    corpus = read(tmp_path, b"\xef\xbb\xbfham\tSee you\r\n\r\nSPAM\tWIN now\r\n")

    assert [message.text for message in corpus.messages] == ["See you", "WIN now"]


def test_of_duplicates_the_first_stays(tmp_path: Path):
    corpus = read(tmp_path, "spam\tWIN a prize!\nham\tHello\nham\t\uff37in... a  PRIZE\n")

    assert corpus.messages == (
        LabelledMessage("WIN a prize!", is_spam=True),
        LabelledMessage("Hello", is_spam=False),
    )


def test_duplicates_are_counted(tmp_path: Path):
    corpus = read(tmp_path, "ham\tHi\nham\thi\nham\tHi!\nspam\tWIN\n")

    assert (corpus.ham, corpus.spam, corpus.duplicates) == (1, 1, 2)


def test_messages_without_words_are_told_apart(tmp_path: Path):
    corpus = read(tmp_path, "ham\t:-)\nham\t:-(\n")

    assert corpus.duplicates == 0


def test_the_corpus_is_named_by_the_hash_of_its_file(tmp_path: Path):
    corpus = read(tmp_path, "ham\tHi\n")

    assert corpus.sha256 == "38e6ab18d0894220fa1caccddc5ac867909ae798821ae344b734b5c03a902ec9"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("eggs\tHello", "it must begin with `ham` or `spam` and a tab, and begins with 'eggs'"),
        ("ham", "there is no text after the label"),
        ("ham\t ", "there is no text after the label"),
        (b"ham\tcaf\xe9", "it is not UTF-8 (byte 8 of the line)"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: str | bytes, reason: str):
    content = line if isinstance(line, bytes) else line.encode()

    with pytest.raises(BadCorpus) as caught:
        read(tmp_path, b"ham\tHi\n\n" + content)

    assert (caught.value.line, caught.value.reason) == (3, reason)


def test_a_missing_file_is_an_expected_error(tmp_path: Path):
    with pytest.raises(BadCorpus, match="it cannot be read \\(No such file or directory\\)"):
        read_corpus(tmp_path / "missing.tsv")


def test_too_few_of_a_label_cannot_be_learnt(tmp_path: Path):
    corpus = read(tmp_path, "ham\tHi\nspam\tWIN\n")

    with pytest.raises(BadCorpus, match="it has 1 ham and 1 spam"):
        corpus.require_learnable()


def test_a_usual_corpus_can_be_learnt(corpus: Corpus):
    corpus.require_learnable()

    assert (corpus.ham, corpus.spam) == (16, 16)


def test_duplicates_share_a_fingerprint():
    assert fingerprint("WIN a prize!") == fingerprint("win, a PRIZE")


def test_different_messages_have_different_fingerprints():
    assert fingerprint("WIN a prize") != fingerprint("WIN two prizes")
