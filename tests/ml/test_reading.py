from pathlib import Path

import pytest

from ml.corpus import Corpus, LabelledMessage
from ml.errors import BadCorpus
from ml.reading import read_corpus, read_messages


def read(folder: Path, content: str | bytes) -> Corpus:
    file = folder / "corpus.tsv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_corpus(file)


def put_mail(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Subject: {text}\n\n")


def test_each_line_has_a_label_and_a_text(tmp_path: Path):
    corpus = read(tmp_path, "ham\tSee you\nspam\tWIN now\n")

    assert corpus.messages == (
        LabelledMessage("See you", is_spam=False),
        LabelledMessage("WIN now", is_spam=True),
    )


def test_text_can_contain_tabs_and_line_separators(tmp_path: Path):
    corpus = read(tmp_path, "ham\tone\ttwo\u2028three\x0bfour\n")

    assert corpus.messages[0].text == "one\ttwo\u2028three\x0bfour"


def test_a_file_with_bom_and_crlf_is_read(tmp_path: Path):
    corpus = read(tmp_path, b"\xef\xbb\xbfham\tSee you\r\n\r\nSPAM\tWIN now\r\n")

    assert [message.text for message in corpus.messages] == ["See you", "WIN now"]


def test_an_empty_file_has_no_messages(tmp_path: Path):
    assert read(tmp_path, "").messages == ()


def test_the_first_of_duplicates_is_kept(tmp_path: Path):
    corpus = read(tmp_path, "spam\tWIN a prize!\nham\tHello\nham\twin: a PRIZE\n")

    assert corpus.messages == (
        LabelledMessage("WIN a prize!", is_spam=True),
        LabelledMessage("Hello", is_spam=False),
    )


def test_read_messages_keeps_duplicates(tmp_path: Path):
    file = tmp_path / "corpus.tsv"
    file.write_text("ham\tHi\nham\thi\n")

    assert [message.text for message in read_messages(file)] == ["Hi", "hi"]


def test_the_corpus_has_the_hash_of_its_file(tmp_path: Path):
    corpus = read(tmp_path, "ham\tHi\n")

    assert corpus.sha256 == "38e6ab18d0894220fa1caccddc5ac867909ae798821ae344b734b5c03a902ec9"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("eggs\tHello", "the line must start with `ham` or `spam` and a tab, not with 'eggs'"),
        ("ham", "there is no text after the label"),
        ("ham\t ", "there is no text after the label"),
        (b"ham\tcaf\xe9", "the line is not UTF-8 (at byte 8)"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, line: str | bytes, reason: str):
    content = line if isinstance(line, bytes) else line.encode()

    with pytest.raises(BadCorpus) as caught:
        read(tmp_path, b"ham\tHi\n\n" + content)

    assert (caught.value.line, caught.value.reason) == (3, reason)


def test_a_missing_file_raises_bad_corpus(tmp_path: Path):
    with pytest.raises(BadCorpus, match="it cannot be read \\(No such file or directory\\)"):
        read_corpus(tmp_path / "missing.tsv")


def test_emails_in_folders_are_read(tmp_path: Path):
    put_mail(tmp_path / "ham" / "1", "Lunch")
    put_mail(tmp_path / "spam" / "1", "Prize")

    assert read_corpus(tmp_path).messages == (
        LabelledMessage("Lunch", is_spam=False),
        LabelledMessage("Prize", is_spam=True),
    )


def test_the_first_copy_of_an_email_is_kept(tmp_path: Path):
    put_mail(tmp_path / "ham" / "1", "Lunch?")
    put_mail(tmp_path / "ham" / "2", "lunch")
    put_mail(tmp_path / "spam" / "1", "LUNCH!")

    corpus = read_corpus(tmp_path)

    assert (corpus.ham, corpus.spam, corpus.duplicates) == (1, 0, 2)


def test_folders_with_the_same_emails_have_the_same_hash(tmp_path: Path):
    for folder in ("one", "two"):
        put_mail(tmp_path / folder / "ham" / "1", "Lunch")

    assert read_corpus(tmp_path / "one").sha256 == read_corpus(tmp_path / "two").sha256


def test_a_different_label_changes_the_hash(tmp_path: Path):
    put_mail(tmp_path / "one" / "ham" / "1", "Lunch")
    put_mail(tmp_path / "two" / "spam" / "1", "Lunch")

    assert read_corpus(tmp_path / "one").sha256 != read_corpus(tmp_path / "two").sha256


def test_an_mbox_is_recognized_under_any_name(tmp_path: Path):
    file = tmp_path / "corpus.tsv"
    file.write_text("From ann Thu Aug 22 2002\nX-Spam-Flag: YES\nSubject: Prize\n\n")

    assert read_messages(file) == [LabelledMessage("Prize", is_spam=True)]


@pytest.mark.parametrize("name", ["missing", "missing.tgz"])
def test_missing_emails_raise_bad_corpus(tmp_path: Path, name: str):
    with pytest.raises(BadCorpus, match="it cannot be read \\(No such file or directory\\)"):
        read_corpus(tmp_path / name)
