"""Files of ccv's ConvNet made by plain SQL, and what they compute in float64."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import correlate

SCHEMA = """
CREATE TABLE layer_params (layer INTEGER PRIMARY KEY ASC, type INTEGER,
    input_matrix_rows INTEGER, input_matrix_cols INTEGER, input_matrix_channels INTEGER,
    input_matrix_partition INTEGER, input_node_count INTEGER, output_rows INTEGER,
    output_cols INTEGER, output_channels INTEGER, output_partition INTEGER, output_count INTEGER,
    output_strides INTEGER, output_border INTEGER, output_size INTEGER, output_kappa REAL,
    output_alpha REAL, output_beta REAL, output_relu INTEGER);
CREATE TABLE layer_data (layer INTEGER PRIMARY KEY ASC, weight BLOB, bias BLOB,
    half_precision INTEGER);
CREATE TABLE convnet_params (convnet INTEGER PRIMARY KEY ASC, input_height INTEGER,
    input_width INTEGER, mean_activity BLOB);
CREATE TABLE momentum_data (layer INTEGER PRIMARY KEY ASC, weight BLOB, bias BLOB);
INSERT INTO momentum_data VALUES (0, x'00', x'00');
"""
# type, input (rows, columns, channels, partition, node count), output: rows, cols, channels,
# partition, count, strides, border, size, kappa, alpha, beta, relu
N = None
LAYERS: list[list[Any]] = [
    [1, 13, 11, 3, 1, 0, 3, 5, 3, 2, 8, 2, 1, N, N, N, N, N],
    [5, 7, 5, 8, 2, 0, N, N, N, N, N, N, N, 3, 2.0, float(np.float32(0.1)), 0.75, N],
    [3, 7, 5, 8, 2, 0, N, N, N, N, N, 1, 1, 3, N, N, N, N],
    [1, 7, 5, 8, 2, 0, 3, 3, 8, 2, 16, 1, 0, N, N, N, N, N],
    [4, 5, 3, 16, 1, 0, N, N, N, N, N, 2, 0, 3, N, N, N, N],
    [2, 2, 1, 16, 1, 32, N, N, N, N, 6, N, N, N, N, N, N, 1],
    [2, 6, 1, 1, 1, 6, N, N, N, N, 5, N, N, N, N, N, N, 0],
    [2, 5, 1, 1, 1, 5, N, N, N, N, 4, N, N, N, N, N, N, 0],
]
TEXT = "B[1] C.X[8,3,5,2,2] A LRN[3,2,0.1,0.75,2] P[3,1,1] C[16,3,1,2] A P.A[3,2] F[6] A F[5] R.B"
SHAPES = {0: (8, 3, 5, 3), 3: (16, 3, 3, 4), 5: (6, 32), 6: (5, 6), 7: (4, 5)}
MEAN_SHAPE = (17, 15, 3)


def weights(seed: int = 0) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return weight and bias of the layers that have some, as ccv lays them out."""
    random = np.random.default_rng(seed)
    found = {}
    for layer, shape in SHAPES.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5 / (50 if layer == 0 else 1)
        weight = random.normal(0, scale, shape).astype(np.float32)
        found[layer] = weight, random.normal(0, 0.1, shape[0]).astype(np.float32)
    return found


def mean_activity() -> np.ndarray:
    """Return a mean image (h, w, c) of pixels from 0 to 255."""
    random = np.random.default_rng(9)
    image = np.full(MEAN_SHAPE, (100.0, 110.0, 120.0), np.float32)
    return image + random.normal(0, 9, MEAN_SHAPE).astype(np.float32)


def make_file(path: Path, half: bool = False) -> Path:
    """Write a file of ccv by plain SQL."""
    dtype = "<f2" if half else "<f4"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        for number, row in enumerate(LAYERS):
            places = ",".join("?" * 19)
            connection.execute(f"INSERT INTO layer_params VALUES ({places})", [number, *row])
        for number, arrays in weights().items():
            blobs = [values.astype(dtype).tobytes() for values in arrays]
            connection.execute(
                "INSERT INTO layer_data VALUES (?, ?, ?, ?)", [number, *blobs, int(half)]
            )
        content = mean_activity().astype("<f4").tobytes()
        connection.execute(
            "INSERT INTO convnet_params VALUES (0, ?, ?, ?)", [*MEAN_SHAPE[:2], content]
        )
    return path


def change(path: Path, *statements: str) -> Path:
    """Change a file by SQL."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int, stride: int):
    """Return the ReLU of a grouped correlation of x (h, w, c)."""
    maps = []
    for number, each in enumerate(weight):
        group = number * groups // len(weight)
        part = x[..., group * each.shape[2] : (group + 1) * each.shape[2]]
        maps.append(correlate(part, each, "valid", "direct")[::stride, ::stride, 0] + bias[number])
    return np.maximum(np.stack(maps, 2), 0)


def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the cells of all windows (h, w, c, size, size)."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return view[::stride, ::stride]


def normalised(x: np.ndarray, size: int, kappa: float, alpha: float, beta: float, groups: int):
    """Return the local response normalisation within groups of channels."""
    y = np.empty_like(x)
    length = x.shape[2] // groups
    for channel in range(x.shape[2]):
        first = channel // length * length
        low, high = max(first, channel - size // 2), min(first + length, channel + size // 2 + 1)
        total = (x[..., low:high] ** 2).sum(axis=2)
        y[..., channel] = x[..., channel] / (kappa + alpha * total) ** beta
    return y


def predicted(pixels: np.ndarray, mean: np.ndarray, half: bool = False) -> np.ndarray:
    """Return the class probabilities of an image (13, 11, 3) of pixels 0 to 255 in float64."""
    return classified(features(pixels - mean.astype(float), half), half)


def exact(half: bool) -> dict[int, tuple[np.ndarray, ...]]:
    """Return the weights as float64 of what a file holds."""
    stored = np.float16 if half else np.float32
    return {
        number: tuple(values.astype(stored).astype(float) for values in arrays)
        for number, arrays in weights().items()
    }


def features(x: np.ndarray, half: bool = False) -> np.ndarray:
    """Return the map of the last convolution; (5, 3, 16) of an image (13, 11, 3) less its mean."""
    w = exact(half)
    x = convolved(np.pad(x, ((1, 1), (1, 1), (0, 0))), *w[0], groups=1, stride=2)
    x = normalised(x, 3, 2.0, 0.1, 0.75, 2)
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = windows(x, 3, 1).max(axis=(3, 4))
    return convolved(x, *w[3], groups=2, stride=1)


def classified(x: np.ndarray, half: bool = False) -> np.ndarray:
    """Return the class probabilities of a window (5, 3, 16) of a map of the last convolution."""
    w = exact(half)
    x = windows(x, 3, 2).mean(axis=(3, 4))
    x = np.maximum(w[5][0] @ x.ravel() + w[5][1], 0)
    x = w[6][0] @ x + w[6][1]
    logits = w[7][0] @ x + w[7][1]
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()
