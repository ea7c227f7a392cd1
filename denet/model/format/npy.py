"""Arrays of the 2017 files: {"__class__": "numpy.ndarray", "__value__": base64 of a .npy file}."""

from __future__ import annotations

import binascii
import io
import math
from typing import Any

import numpy as np

from denet.errors import DataError

CLASS_NAME = "numpy.ndarray"
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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
        raise DataError(f"damaged model file: {where}: not a .npy array ({error})") from error


def _decode_npy(content: bytes) -> np.ndarray:
    """Read a .npy file without unpickling; its header must account for every byte that follows."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ValueError(f"unknown version {version}")
    shape, fortran_order, dtype = _HEADER_READERS[version](file)
    if dtype.kind != "f":
        raise ValueError(f"elements are {dtype}, not floats")
    left = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"header says {list(shape)} of {dtype}, but {left} bytes follow")
    flat = np.frombuffer(content, dtype, offset=file.tell())
    return np.array(flat.reshape(shape, order="F" if fortran_order else "C"), np.float32, order="C")
