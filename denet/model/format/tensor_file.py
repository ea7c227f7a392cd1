"""The layout of safetensors files: 8 bytes of length, a header of JSON, then the tensors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import BinaryIO

from denet.errors import DataError
from denet.model.format.json_text import parse_object
from denet.model.format.record import Record

MAX_HEADER_BYTES = 64 << 20  # a tensor takes some hundred bytes, a million labels 20 MB
MAX_AXES = 32  # that NumPy 1 knows
METADATA = "__metadata__"  # what in the header is no tensor


def read_header(file: BinaryIO, source: str) -> Record:
    """Return the header of a safetensors file, and stay behind it; DataError for a damaged one."""
    size = os.path.getsize(source)
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise DataError(f"damaged model file: {source}: {length} bytes of header are too many")
    _check_size(size, 8 + length, source)
    header = Record(parse_object(file.read(length), source), source)
    needed = file.tell()
    for name in header.values:
        if name != METADATA:  # the sum: tensors that share bytes would multiply them
            start, end = header.record(name).integers("data_offsets", 2)
            needed += max(0, end - start)
    _check_size(size, needed, source)
    if size > needed:
        raise DataError(
            f"damaged model file: {source}: {size - needed} bytes too many; take another copy"
        )
    return header


def _check_size(size: int, needed: int, source: str) -> None:
    if size < needed:
        raise DataError(
            f"damaged model file: {source}: cut short, {size} bytes of at least {needed}; "
            "take another copy"
        )


def tensor_shape(tensor: Record, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape of a tensor, once its offsets allow for the shape.

    ``sizes`` holds the bytes of an element by the types that are allowed. Raises DataError.
    """
    dtype, shape = tensor.text("dtype"), tensor.integers("shape")
    if dtype not in sizes:
        raise tensor.fault(f"elements are {dtype!r:.20}, not {' or '.join(sizes)}")
    start, end = tensor.integers("data_offsets", 2)
    within = len(shape) <= MAX_AXES and min(start, end, *shape) >= 0
    if not within or end - start != sizes[dtype] * math.prod(shape):
        raise tensor.fault(f"offsets {start} to {end} for the shape {list(shape)}")
    return shape
