import io
import tarfile
from pathlib import Path

import pytest

from ml.corpus import LabelledMessage
from ml.errors import BadCorpus
from ml.mailbox import is_mail, read_mail

LUNCH = b"Subject: Lunch\n\nAt noon?\n"
PRIZE = b"Subject: Prize\n\nYou won\n"


def put(path: Path, content: bytes = LUNCH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def mbox(*sources: bytes) -> bytes:
    return b"".join(b"From ann Thu Aug 22 12:36:23 2002\n" + source + b"\n" for source in sources)


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def labels(path: Path) -> list[bool]:
    return [message.is_spam for message in read_mail(path)]


def test_the_label_of_an_email_is_the_name_of_its_folder(tmp_path: Path):
    put(tmp_path / "ham" / "1", LUNCH)
    put(tmp_path / "spam" / "1", PRIZE)

    assert list(read_mail(tmp_path)) == [
        LabelledMessage("Lunch\n\nAt noon?", is_spam=False),
        LabelledMessage("Prize\n\nYou won", is_spam=True),
    ]


@pytest.mark.parametrize(
    ("place", "is_spam"),
    [
        ("easy-ham-1/00001.7c53336b37003a9286aba55d2945844c", False),
        ("hard_ham/1.txt", False),
        ("spam_2/1.txt", True),
        ("SPAM/1.eml", True),
        ("2002/spam/january/1.eml", True),
        ("spam/but/ham/1.eml", False),
        ("all/spam.1.eml", True),
        ("not-ham-but-spam/1.eml", True),
        ("ham/hamster.eml", False),
        ("spam/birmingham/1.eml", True),
        ("ham/spammers/1.eml", False),
    ],
)
def test_the_last_label_in_a_path_is_used(tmp_path: Path, place: str, is_spam: bool):
    put(tmp_path / place)

    assert labels(tmp_path) == [is_spam]


def test_labels_above_the_folder_are_ignored(tmp_path: Path):
    put(tmp_path / "spam" / "mails" / "ham" / "1")

    assert labels(tmp_path / "spam" / "mails") == [False]


def test_a_maildir_is_read(tmp_path: Path):
    put(tmp_path / "ham" / "cur" / "1030015983.M1P2.host:2,S")
    put(tmp_path / "spam" / "new" / "1030015984.M1P2.host", PRIZE)

    assert labels(tmp_path) == [False, True]


def test_emails_are_read_in_the_order_of_their_paths(tmp_path: Path):
    for name in ("spam/2", "ham/3", "ham/1"):
        put(tmp_path / name, f"Subject: {name}\n\n".encode())

    assert [message.text for message in read_mail(tmp_path)] == ["ham/1", "ham/3", "spam/2"]


def test_an_mbox_in_a_folder_is_labeled_by_its_name(tmp_path: Path):
    put(tmp_path / "ham.mbox", mbox(LUNCH, LUNCH))
    put(tmp_path / "spam.mbox", mbox(PRIZE))

    assert [(message.text, message.is_spam) for message in read_mail(tmp_path)] == [
        ("Lunch\n\nAt noon?", False),
        ("Lunch\n\nAt noon?", False),
        ("Prize\n\nYou won", True),
    ]


def test_a_single_mbox_can_be_labeled_by_its_name(tmp_path: Path):
    assert labels(put(tmp_path / "my-spam", mbox(LUNCH, PRIZE))) == [True, True]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_emails_in_an_mbox_can_be_labeled_by_a_header(tmp_path: Path, end: bytes):
    content = mbox(b"X-Spam-Flag: NO\n" + LUNCH, b"From: Eve\nx-spam-flag: Yes\n" + PRIZE)

    assert labels(put(tmp_path / "inbox", content.replace(b"\n", end))) == [False, True]


def test_a_label_in_the_body_is_ignored(tmp_path: Path):
    file = put(tmp_path / "inbox", mbox(LUNCH + b"X-Spam-Flag: YES\n"))

    with pytest.raises(BadCorpus):
        labels(file)


def test_an_email_without_a_label_is_reported_by_path(tmp_path: Path):
    put(tmp_path / "ham" / "1")
    put(tmp_path / "others" / "2")

    with pytest.raises(
        BadCorpus, match="no label: put it in a folder named `ham` or `sp"
    ) as caught:
        labels(tmp_path)

    assert caught.value.path == tmp_path / "others" / "2"


def test_an_mbox_without_labels_is_reported_by_path(tmp_path: Path):
    file = put(tmp_path / "inbox", mbox(LUNCH))

    with pytest.raises(BadCorpus) as caught:
        labels(file)

    assert caught.value.path == file


@pytest.mark.parametrize("place", ["ham/.DS_Store", ".git/spam/1", "ham/.index.mbox"])
def test_hidden_files_are_ignored(tmp_path: Path, place: str):
    put(tmp_path / "ham" / "1")
    put(tmp_path / place, mbox(PRIZE))

    assert len(labels(tmp_path)) == 1


def test_a_hidden_folder_passed_explicitly_is_read(tmp_path: Path):
    put(tmp_path / ".mail" / "ham" / "1")

    assert labels(tmp_path / ".mail") == [False]


def test_only_the_start_of_a_huge_email_is_read(tmp_path: Path):
    put(tmp_path / "ham" / "1", LUNCH + b"a" * (2 << 20))

    assert [message.text[:15] for message in read_mail(tmp_path)] == ["Lunch\n\nAt noon?"]


def test_the_downloaded_archive_is_read(tmp_path: Path):
    files = {
        "package/package.json": b"{}",
        "package/data/spam-1/0001.txt": PRIZE,
        "package/data/easy-ham-1/0001.txt": LUNCH,
        "package/data/easy-ham-1/cmds": b"",
        "package/docs/spam.txt": b"",
    }

    assert list(read_mail(archive(tmp_path / "corpus.tgz", files))) == [
        LabelledMessage("Lunch\n\nAt noon?", is_spam=False),
        LabelledMessage("Prize\n\nYou won", is_spam=True),
    ]


def test_links_in_an_archive_are_ignored(tmp_path: Path):
    path = tmp_path / "corpus.tgz"
    with tarfile.open(path, "w:gz") as file:
        link = tarfile.TarInfo("package/data/spam-1/0001.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "missing"
        file.addfile(link)

    assert labels(path) == []


def test_an_email_without_a_label_in_an_archive_is_reported_by_path(tmp_path: Path):
    path = archive(tmp_path / "corpus.tgz", {"package/data/all/1.txt": LUNCH})

    with pytest.raises(BadCorpus) as caught:
        labels(path)

    assert caught.value.path == path / "package/data/all/1.txt"


@pytest.mark.parametrize("size", [0, 5, 60, 120])
def test_a_truncated_archive_raises_bad_corpus(tmp_path: Path, size: int):
    path = archive(tmp_path / "corpus.tgz", {"package/data/spam/1.txt": PRIZE})
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(BadCorpus, match="it is not an intact archive") as caught:
        labels(path)

    assert caught.value.path == path


@pytest.mark.parametrize("content", [b"ham\tHi\n", b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff\xff"])
def test_a_file_that_is_not_an_archive_raises_bad_corpus(tmp_path: Path, content: bytes):
    path = put(tmp_path / "corpus.tgz", content)

    with pytest.raises(BadCorpus, match="it is not an intact archive"):
        labels(path)


def test_folders_archives_and_mboxes_hold_emails(tmp_path: Path):
    places = [tmp_path, tmp_path / "any.tgz", put(tmp_path / "any", mbox(LUNCH))]

    assert [is_mail(place) for place in places] == [True, True, True]


@pytest.mark.parametrize("content", [b"", b"ham\tHi\n", b"spam\tFrom Eve\n", b"From", LUNCH])
def test_other_files_do_not_hold_emails(tmp_path: Path, content: bytes):
    assert not is_mail(put(tmp_path / "any", content))
