"""Cross-correlation as a linear map, its adjoint, and its derivative by the weights.

The three maps of every (de)convolution: windows are gathered into the rows of a matrix (im2col)
and multiplied by BLAS. x (n, h, w, c), y (n, h', w', o), weight (o, c / groups, kh, kw): with
several groups, the q-th part of the filters sees the q-th part of the channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from denet.graph.op.window import Padding, Pair, cells, pad, unpad, windows

BLOCK_BYTES = 1 << 24  # of gathered windows at a time: large for BLAS, small for memory


def correlate(
    x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding, groups: int = 1
) -> np.ndarray:
    """Return y[n,i,j,o] = sum over a,b,c of x[n, i*s + a - top, j*s + b - left, c] w[o,c,a,b]."""
    if groups > 1:
        parts = zip(np.split(x, groups, axis=3), np.split(weight, groups), strict=True)
        return np.concatenate([correlate(*part, stride, padding) for part in parts], axis=3)
    o, c, *size = weight.shape
    view = windows(pad(x, padding), (size[0], size[1]), stride)
    matrix = _matrix(weight)
    y = np.empty((*view.shape[:3], o), x.dtype)
    for part in _blocks(view):
        np.matmul(view[part].reshape(-1, matrix.shape[1]), matrix.T, out=y[part].reshape(-1, o))
    return y


def correlate_adjoint(
    y: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Padding,
    size: Pair,
    groups: int = 1,
) -> np.ndarray:
    """Return the adjoint of ``correlate`` applied to y: a map (n, h, w, c) of this ``size``.

    x[n, i*s + a - top, j*s + b - left, c] += y[n,i,j,o] w[o,c,a,b] for all n, i, j, o, c, a, b.
    """
    if groups > 1:
        parts = zip(np.split(y, groups, axis=3), np.split(weight, groups), strict=True)
        maps = [correlate_adjoint(*part, stride, padding, size) for part in parts]
        return np.concatenate(maps, axis=3)
    o, c, kh, kw = weight.shape
    n, h, w, _ = y.shape
    padded = np.zeros((n, size[0] + sum(padding[0]), size[1] + sum(padding[1]), c), y.dtype)
    matrix = _matrix(weight)
    for part in _blocks(windows(padded, (kh, kw), stride)):
        product = y[part].reshape(-1, o) @ matrix
        seen = product.reshape(-1, h, w, kh * kw, c)
        for index, cell in enumerate(cells(padded[part], (kh, kw), stride)):
            cell += seen[:, :, :, index]
    return unpad(padded, padding)


def correlate_by_weight(
    x: np.ndarray, y: np.ndarray, stride: Pair, padding: Padding, size: Pair, groups: int = 1
) -> np.ndarray:
    """Return w[o,c,a,b] = sum over n,i,j of x[n, i*s + a - top, j*s + b - left, c] y[n,i,j,o]."""
    if groups > 1:
        parts = zip(np.split(x, groups, axis=3), np.split(y, groups, axis=3), strict=True)
        weights = [correlate_by_weight(*part, stride, padding, size) for part in parts]
        return np.concatenate(weights)
    o, c = y.shape[3], x.shape[3]
    view = windows(pad(x, padding), size, stride)
    matrix: np.ndarray = np.zeros((o, size[0] * size[1] * c), x.dtype)
    for part in _blocks(view):
        matrix += y[part].reshape(-1, o).T @ view[part].reshape(-1, matrix.shape[1])
    weight: np.ndarray = matrix.reshape(o, *size, c).transpose(0, 3, 1, 2)
    return weight


def _matrix(weight: np.ndarray) -> np.ndarray:
    """Return weight (o, c, kh, kw) as (o, kh * kw * c): the order in which nhwc windows lie."""
    matrix: np.ndarray = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return matrix


def _blocks(view: np.ndarray) -> Iterator[slice]:
    """Cut the samples of a view of windows so that a copy of each part stays small."""
    n = len(view)
    step = max(1, BLOCK_BYTES * n // max(1, view.nbytes))
    for start in range(0, n, step):
        yield slice(start, start + step)
