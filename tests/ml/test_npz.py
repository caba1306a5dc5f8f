import contextlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.npz import read_npz


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def flip_bit(content: bytes, byte: int, bit: int) -> bytes:
    flipped = bytearray(content)
    flipped[byte] ^= 1 << bit
    return bytes(flipped)


def test_reader_returns_the_arrays_that_numpy_wrote():
    numbers = np.array([0.1, -1e300, np.pi])

    arrays = read_npz(
        packed(
            numbers=numbers,
            prints=np.array([0, 2**64 - 1], np.uint64),
            text=np.frombuffer("é".encode(), np.uint8),
            none=np.array([], np.float64),
        )
    )

    assert arrays["numbers"].tolist() == numbers.tolist()
    assert arrays["prints"].tolist() == [0, 2**64 - 1]
    assert (arrays["text"].tobytes().decode(), len(arrays["none"])) == ("é", 0)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([{}], dtype=object), r"has type '\|O'"),
        (np.array(["text"]), "has type '<U4'"),
        (np.array([[1.0]]), "has an unsupported header"),
        (np.array([1], ">f8"), "has type '>f8'"),
    ],
    ids=["objects", "padded text", "two dimensions", "big-endian"],
)
def test_unsupported_arrays_are_refused_by_name(array: np.ndarray, reason: str):
    with pytest.raises(ValueError, match=rf"member 'array\.npy' {reason}"):
        read_npz(packed(array=array))


@pytest.mark.parametrize(
    "header",
    ["", "[]", "-" * 990 + "1", "(" * 990, "9" * 999, "{'descr': [], 'shape': (1,)}", "{[]: 1}"],
)
def test_a_header_that_is_not_ours_is_refused_by_name(header: str):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        length = len(header).to_bytes(2, "little")
        archive.writestr("words.npy", b"\x93NUMPY\x01\x00" + length + header.encode())

    with pytest.raises(ValueError, match=r"member 'words\.npy' has an unsupported header"):
        read_npz(buffer.getvalue())


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"\x93NUMPY"])
def test_a_file_that_is_not_an_archive_is_refused(content: bytes):
    with pytest.raises(ValueError, match="not an intact zip archive"):
        read_npz(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_are_refused_by_name(method: int):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("words.npy", b"x")

    with pytest.raises(ValueError, match=rf"'words\.npy' uses compression method {method}"):
        read_npz(buffer.getvalue())


def test_every_flipped_bit_is_harmless_or_a_value_error():
    content = packed(words=np.array([1.0, 2.0]), text=np.frombuffer(b"free", np.uint8))

    for byte in range(len(content)):
        for bit in range(8):
            with contextlib.suppress(ValueError):
                read_npz(flip_bit(content, byte, bit))


@given(st.data())
def test_a_flipped_bit_of_a_larger_file_is_harmless_or_a_value_error(data: st.DataObject):
    content = packed(numbers=np.arange(50.0))
    byte, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))

    with contextlib.suppress(ValueError):
        read_npz(flip_bit(content, byte, bit))


@given(st.data())
def test_a_file_that_is_cut_off_is_a_value_error(data: st.DataObject):
    content = packed(numbers=np.arange(50.0))

    with pytest.raises(ValueError, match="not an intact zip archive"):
        read_npz(content[: data.draw(st.integers(0, len(content) - 1))])


def test_numpy_reads_a_model_without_pickle(model_folder):
    (path,) = model_folder.glob("*/model.npz")

    with np.load(path, allow_pickle=False) as arrays:
        ours = read_npz(path.read_bytes())

        assert {name: arrays[name].tolist() for name in arrays} == {
            name: array.tolist() for name, array in ours.items()
        }
