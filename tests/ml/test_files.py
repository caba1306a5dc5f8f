from pathlib import Path

import pytest

from ml.errors import CannotWrite
from ml.files import sha256, write_atomically


def test_writing_replaces_the_whole_file(tmp_path: Path):
    file = tmp_path / "new" / "file"
    write_atomically(file, b"old and long")

    write_atomically(file, b"new")

    assert file.read_bytes() == b"new"


def test_writing_leaves_no_temporary_file(tmp_path: Path):
    write_atomically(tmp_path / "file", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_other_users_can_read_the_file(tmp_path: Path):
    write_atomically(tmp_path / "file", b"content")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_file_in_place_of_the_folder_raises_cannot_write(tmp_path: Path):
    (tmp_path / "folder").write_bytes(b"a file")

    with pytest.raises(CannotWrite, match="folder"):
        write_atomically(tmp_path / "folder" / "file", b"content")


def test_a_folder_in_place_of_the_file_raises_cannot_write(tmp_path: Path):
    (tmp_path / "file").mkdir()

    with pytest.raises(CannotWrite, match="directory"):
        write_atomically(tmp_path / "file", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sha256_matches_a_known_digest():
    assert sha256(b"abc").startswith("ba7816bf8f01cfea")
