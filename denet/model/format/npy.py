"""Arrays of the 2017 files: {"__class__": "numpy.ndarray", "__value__": base64 of a .npy file}."""

from __future__ import annotations

import binascii
import io
import math
import re
from typing import Any

import numpy as np

from denet.errors import DataError

CLASS_NAME = "numpy.ndarray"
# magic, version 1.0, length of the header, the header as NumPy writes it for floats; NumPy's own
# reader evaluates the header and unpickles objects. 32 axes take 400 characters; the product of
# more and longer ones could take for ever
NPY = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '([<>]f[248])', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]{0,400})\), \} *\n",
    re.DOTALL,
)


def encode_array(array: np.ndarray) -> dict[str, str]:
    """Return the JSON form of an array."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    content = binascii.b2a_base64(file.getbuffer(), newline=False)
    return {"__class__": CLASS_NAME, "__value__": content.decode("ascii")}


def decode_array(value: Any, where: str) -> np.ndarray:
    """Return a new contiguous float32 array from its JSON form; DataError names ``where``."""
    if not isinstance(value, dict) or value.get("__class__") != CLASS_NAME:
        raise DataError(f"damaged model file: {where}: {type(value).__name__} is not an array")
    try:
        return _decode_npy(binascii.a2b_base64(value["__value__"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"damaged model file: {where}: not a .npy array: {error}") from error


def _decode_npy(content: bytes) -> np.ndarray:
    """Read a .npy file of floats; its header must account for every byte that follows."""
    header = NPY.match(content)
    if header is None:
        raise ValueError("it does not start as an array of floats")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(length) for length in header[3].decode().split(",") if length.strip())
    left = len(content) - header.end()
    if math.prod(shape) * dtype.itemsize != left or len(shape) > 32:
        raise ValueError(f"header says {list(shape)} of {dtype}, but {left} bytes follow")
    flat = np.frombuffer(content, dtype, offset=header.end())
    array = flat.reshape(shape[::-1]).T if header[2] == b"True" else flat.reshape(shape)
    with np.errstate(all="ignore"):  # of numbers beyond float32
        return np.array(array, np.float32, order="C")
