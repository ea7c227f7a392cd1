"""Windows that slide over a map: how many fit, what they see, and who sees a cell.

Sizes, strides and paddings are (height, width) pairs; padding is ((top, bottom), (left, right)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from denet.errors import DescriptionError
from denet.graph.op.base import image
from denet.graph.tensor_type import TensorType

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

SHAPE = TensorType((4,), "int32")  # the type of a saved shape, where backward needs no more of x


def count_windows(op: str, x: TensorType, size: Pair, stride: Pair, padding: Padding) -> Pair:
    """Return how many whole windows fit: floor((h + top + bottom - size) / stride) + 1 each way.

    Raises DescriptionError, in the name of ``op``, where not one fits.
    """
    _, h, w, _ = image(x)
    height, width = h + sum(padding[0]), w + sum(padding[1])
    if size[0] > height or size[1] > width:
        raise DescriptionError(
            f"{op}: a {size[0]}x{size[1]} window does not fit into the padded {height}x{width} "
            f"map (x {x.shape}): use a smaller window, a smaller stride before it or more padding"
        )
    return (height - size[0]) // stride[0] + 1, (width - size[1]) // stride[1] + 1


def pad(x: np.ndarray, padding: Padding, value: float = 0.0) -> np.ndarray:
    """Return x (n, h, w, c) with a border of ``value``; x itself where the border is empty."""
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    n, h, w, c = x.shape
    padded = np.full((n, top + h + bottom, left + w + right, c), value, x.dtype)
    padded[:, top : top + h, left : left + w] = x
    return padded


def unpad(x: np.ndarray, padding: Padding) -> np.ndarray:
    """Return the view of x (n, h, w, c) without its border."""
    (top, bottom), (left, right) = padding
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def windows(x: np.ndarray, size: Pair, stride: Pair) -> np.ndarray:
    """Return the writable view (n, h', w', kh, kw, c) of all windows on x (n, h, w, c)."""
    # NumPy's annotations before 2.3 know one axis only
    view_of_windows: Any = sliding_window_view
    view: np.ndarray = view_of_windows(x, size, axis=(1, 2), writeable=x.flags.writeable)
    view = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
    return view


def cells(x: np.ndarray, size: Pair, stride: Pair) -> Iterator[np.ndarray]:
    """Yield a view (n, h', w', c) per cell of the window, row by row: what that cell meets.

    No element of x occurs twice in one view, so that a view may be added to.
    """
    view = windows(x, size, stride)
    for row in range(size[0]):
        for column in range(size[1]):
            yield view[:, :, :, row, column]
