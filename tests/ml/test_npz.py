import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.npz import read_npz


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_arrays_are_read_as_numpy_wrote_them():
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
    "array",
    [np.array([{}], dtype=object), np.array(["text"]), np.array([[1.0]]), np.array([1], ">f8")],
    ids=["objects", "padded text", "two dimensions", "big-endian"],
)
def test_an_array_of_another_kind_is_refused(array: np.ndarray):
    with pytest.raises(ValueError, match="an array is of the type"):
        read_npz(packed(array=array))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"\x93NUMPY"])
def test_what_is_no_archive_is_refused(content: bytes):
    with pytest.raises(ValueError, match="no whole zip file"):
        read_npz(content)


@given(st.data())
def test_a_changed_byte_is_refused_or_harmless(data: st.DataObject):
    content = bytearray(packed(numbers=np.arange(50.0)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with contextlib.suppress(ValueError):
        read_npz(bytes(content))


def test_numpy_reads_a_model_without_pickle(model_folder):
    (path,) = model_folder.glob("*/model.npz")

    with np.load(path, allow_pickle=False) as arrays:
        ours = read_npz(path.read_bytes())

        assert {name: arrays[name].tolist() for name in arrays} == {
            name: array.tolist() for name, array in ours.items()
        }
