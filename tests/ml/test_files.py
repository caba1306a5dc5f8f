from pathlib import Path

import pytest

from ml.errors import CannotWrite
from ml.files import sha256, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path):
    file = tmp_path / "new" / "file"
    write_whole(file, b"old and long")

    write_whole(file, b"new")

    assert file.read_bytes() == b"new"


def test_nothing_but_the_file_is_left(tmp_path: Path):
    write_whole(tmp_path / "file", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_another_user_may_read_the_file(tmp_path: Path):
    write_whole(tmp_path / "file", b"content")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_file_in_place_of_the_folder_is_an_expected_error(tmp_path: Path):
    (tmp_path / "folder").write_bytes(b"a file")

    with pytest.raises(CannotWrite, match="folder"):
        write_whole(tmp_path / "folder" / "file", b"content")


def test_a_folder_in_place_of_the_file_is_an_expected_error(tmp_path: Path):
    (tmp_path / "file").mkdir()

    with pytest.raises(CannotWrite, match="directory"):
        write_whole(tmp_path / "file", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_content_is_named_by_its_hash():
    assert sha256(b"abc").startswith("ba7816bf8f01cfea")
