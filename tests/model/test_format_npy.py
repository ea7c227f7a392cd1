"""Arrays and JSON of the 2017 files, whole and damaged."""

import base64
import io
import struct

import numpy as np
import pytest

from denet.errors import DataError
from denet.model.format.json_text import MAX_ELEMENTS, parse_object
from denet.model.format.npy import decode_array, encode_array


def as_json(content: bytes):
    return {"__class__": "numpy.ndarray", "__value__": base64.b64encode(content).decode()}


def npy(array, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4).T,
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(6, dtype=">f4")[::2],
        np.float16([1.5, -2]),
        np.zeros((0, 3), np.float32),
        np.array(2.5, np.float32),
    ],
    ids=["plain", "transposed", "fortran", "big-endian strided", "half", "empty", "scalar"],
)
def test_any_float_array_reads_as_contiguous_float32(array):
    read = decode_array(as_json(npy(array)), "x")
    assert read.dtype == np.float32 and read.flags.c_contiguous and read.flags.writeable
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(decode_array(encode_array(array), "x"), array)


def test_encoding_is_numpy_save_in_base64():
    array = np.float32([[1, 2], [3, 4]])
    assert encode_array(array) == as_json(npy(array))


class Bomb:
    def __reduce__(self):
        raise AssertionError("pickled content was run")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2],
        {"__class__": "numpy.ndarray"},
        {"__class__": "builtins.eval", "__value__": "1"},
        {"__class__": "numpy.ndarray", "__value__": 5},
        {"__class__": "numpy.ndarray", "__value__": "não"},
        {"__class__": "numpy.ndarray", "__value__": "A"},
        as_json(b""),
        as_json(b"\x93NUMPY"),
        as_json(b"\x93NUMPY\x09\x00\x04\x00{}  "),
        as_json(npy(np.zeros(4, np.float32))[:-1]),
        as_json(npy(np.zeros(4, np.float32)) + b"\0"),
        as_json(npy(np.zeros(4, np.int32))),
        as_json(npy(np.array([{"a": 1}], object), allow_pickle=True)),
        as_json(header("|O", "(1,)") + b"cos\nsystem\n(S'true'\ntR."),
        as_json(header("<f4", "(1000000, 1000000, 1000000)") + bytes(16)),
        as_json(header("<f4", "(-2, -2)") + bytes(16)),
        as_json(header("<f4", "(0, 1%s)" % ("0" * 40))),
        as_json(header("<f4", "__import__('os').abort()")),
    ],
    ids=lambda value: None,
)
def test_damaged_arrays_are_refused_by_name(value):
    with pytest.raises(DataError, match=r"damaged model file: layer 3 \(conv\)") as caught:
        decode_array(value, "layer 3 (conv)")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not readable"),
        (b"[1]", "no object"),
        (b'{"a": ', "not readable"),
        (b'{"a": "\xff"}', "not readable"),
        (b'{"a": ' + b"9" * 19 + b"}", "19 digits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "not readable"),
        (b'{"a": [' + b"[]," * MAX_ELEMENTS + b"1]}", "too many"),
    ],
    ids=["empty", "list", "cut", "not UTF-8", "large number", "huge number", "deep", "wide"],
)
def test_damaged_json_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        parse_object(text, "x.mdl")
