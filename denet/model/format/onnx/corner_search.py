"""The search for boxes that corners span, as detect/corner.py does it, in operators of ONNX.

Every sum is taken in its order and every choice falls as there, of equal ones to the first: from
the same map the same boxes come in the same order, to the last bit. How many corners there are is
known when it runs only: all images of a batch get the places of the one with the most, and what is
no corner has log odds of -inf, which no choice takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from denet.detect.corner import CENTRE, DIAGONALS, POINTS, Diagonal
from denet.graph.graph import Node
from denet.model.format.onnx.cluster import best_of_clusters
from denet.model.format.onnx.writer import Value, Writer


class Corners(NamedTuple):
    """Corners of one type of all images, (n, k): log odds, x and y."""

    value: Value
    x: Value
    y: Value

    def beside(self, w: Writer, axis: int) -> Corners:
        """Return these with one more axis."""
        return Corners(*(w.unsqueeze(each, axis) for each in self))

    def at(self, w: Writer, index: Value) -> Corners:
        """Return those at indices (n, m)."""
        return Corners(*(w.take(each, index) for each in self))


def corner_search(w: Writer, node: Node, logits: Value) -> tuple[Value, Value]:
    """Return samples (n, N, 4), and how many there are of each image (n,)."""
    op: Any = node.op
    _, height, width, corner_num = node.inputs[0].shape
    log_odds = logits * -2.0
    is_corner = log_odds >= op.least_log_odds
    if op.local_max:
        window = 2 * op.local_max + 1
        around = w.op(
            "MaxPool", log_odds, kernel_shape=[window] * 2, pads=[op.local_max] * 4, strides=[1, 1]
        )
        is_corner = is_corner & (log_odds >= around)
    likely = w.reshape(w.where(is_corner, log_odds, -np.inf), 0, corner_num, -1)
    most = w.total(w.reshape(is_corner, 0, corner_num, -1), 2)
    most = w.op("ReduceMax", most, keepdims=0).maximum(1)
    most = w.reshape(most.minimum(min(op.corner_max, height * width)), 1)

    maps = w.reshape(log_odds, 0, corner_num, -1)
    values, index = w.top(likely, most)
    corners = [
        Corners(w.pick(values, 1, kind), place % width, place // width)
        for kind, place in ((kind, w.pick(index, 1, kind)) for kind in range(corner_num))
    ]
    search = Search(w, [w.pick(maps, 1, kind) for kind in range(corner_num)], height, width)
    sides, valid = search.boxes(corners, most, op.places, op.looked_at(False))
    if op.nms_threshold < 1:
        sides, valid = best_of_clusters(w, sides, valid, op.places, op.nms_threshold)
    found = sides / w.constant(np.array([width, height] * 2, np.float32))
    found = w.where(w.unsqueeze(valid, -1), found, 0.0)
    left = w.ints(op.places) - w.length(found, 1)
    before, after = w.ints(0, 0, 0, 0), w.ints(0)
    found = w.op("Pad", found, w.concat(before, left, after, axis=0))
    number = w.total(valid, 1) + len(op.prior)
    if not len(op.prior):
        return found, number
    shape = w.concat(w.length(logits, 0), w.ints(*op.prior.shape), axis=0)
    return w.concat(w.op("Expand", w.constant(op.prior), shape), found, axis=1), number


class Search:
    """The maps (n, h w) of log odds of each corner type, and what is read from them."""

    def __init__(self, w: Writer, maps: Sequence[Value], height: int, width: int):
        self._w, self._maps = w, maps
        self._height, self._width = height, width

    def boxes(
        self, corners: Sequence[Corners], most: Value, count: int, many: int
    ) -> tuple[Value, Value]:
        """Return the ``many`` best boxes (n, m, 4), in edges of cells, and which there are (n, m).

        ``most`` (1,): places of corners of a type. See ``find_boxes``.
        """
        w = self._w
        parts = [self._opposite(corners, each, most, many) for each in DIAGONALS[:2]]
        if len(self._maps) > CENTRE:
            parts += [self._mirrored(corners, each, most, many) for each in DIAGONALS]
        codes = w.concat(*parts, axis=1)
        length = w.length(codes, 1)
        codes, _ = w.top(codes, length, largest=False)
        before = w.op("Pad", codes, w.ints(0, 1, 0, -1), w.constant(np.array(-1)))
        fresh = (codes > before) & (codes < self._nowhere)
        codes = w.where(fresh, codes, 0)
        total, cell = None, self._cell(codes)
        points = [(cell[x], cell[y]) for x, y in POINTS]
        if len(self._maps) > CENTRE:
            points.append((self._middle(cell[0] + cell[2]), self._middle(cell[1] + cell[3])))
        for kind, (x, y) in enumerate(points):
            value = w.take(self._maps[kind], y * self._width + x)
            total = total + value if total else value
        assert total
        best, index = w.top(w.where(fresh, total, -np.inf), length.minimum(many))
        x0, y0, x1, y1 = self._cell(w.take(codes, index))
        edges = w.stack(*(each.cast("float") for each in (x0, y0, x1 + 1, y1 + 1)))
        return edges, best > -np.inf

    @property
    def _nowhere(self) -> int:
        """The code of no box."""
        return (self._width * self._height) ** 2

    def _code(self, xa: Value, ya: Value, xb: Value, yb: Value, total: Value) -> Value:
        """Return the numbers by which the cell boxes of these corners are sorted."""
        sides = (xa.minimum(xb), ya.minimum(yb), xa.maximum(xb), ya.maximum(yb))
        x0, y0, x1, y1 = sides
        code = ((x0 * self._height + y0) * self._width + x1) * self._height + y1
        return self._w.where(total > -np.inf, code, self._nowhere)

    def _cell(self, code: Value) -> tuple[Value, Value, Value, Value]:
        """Return x0, y0, x1, y1 of a code."""
        rest, y1 = code // self._height, code % self._height
        rest, x1 = rest // self._width, rest % self._width
        return rest // self._height, rest % self._height, x1, y1

    def _middle(self, double: Value) -> Value:
        """Return half of each number, halves rounded to even."""
        return self._w.op("Round", double.cast("float") * 0.5).cast("int")

    def _at(self, kind: int, y: Value, x: Value) -> Value:
        """Return the log odds (n, j, i) of a type at these cells (n, j, i)."""
        w = self._w
        place = w.unsqueeze(y * self._width + x, -1)
        return w.op("GatherND", self._maps[kind], place, batch_dims=1)

    def _best_pairs(self, total: Value, most: Value, count: int) -> tuple[Value, Value, Value]:
        """Return the best of total (n, j, i): their sums, i and j, (n, m) each."""
        w = self._w
        best, pair = w.top(w.reshape(total, 0, -1), (most * most).minimum(count))
        return best, pair % most, pair // most

    def _opposite(
        self, corners: Sequence[Corners], diagonal: Diagonal, most: Value, count: int
    ) -> Value:
        """Return the codes (n, m) of the best boxes that span two found corners a and b."""
        w = self._w
        kind_a, kind_b, beside, below, step_x, step_y = diagonal
        a, b = corners[kind_a].beside(w, 1), corners[kind_b].beside(w, 2)
        fits_x, fits_y = (b.x - a.x) * step_x > 0, (b.y - a.y) * step_y > 0
        row = w.where(fits_x, self._at(beside, a.y, b.x), -np.inf) + a.value
        column = w.where(fits_y, self._at(below, b.y, a.x), -np.inf)
        total = row + column + b.value
        if len(self._maps) > CENTRE:
            total = total + self._at(CENTRE, self._middle(a.y + b.y), self._middle(a.x + b.x))
        best, i, j = self._best_pairs(total, most, count)
        a, b = corners[kind_a].at(w, i), corners[kind_b].at(w, j)
        return self._code(a.x, a.y, b.x, b.y, best)

    def _mirrored(
        self, corners: Sequence[Corners], diagonal: Diagonal, most: Value, count: int
    ) -> Value:
        """Return the codes (n, m) of the best boxes that span a found corner and centre."""
        w = self._w
        kind_a, kind_b, beside, below, step_x, step_y = diagonal
        a, c = corners[kind_a].beside(w, 1), corners[CENTRE].beside(w, 2)
        xb, yb = c.x * 2 - a.x, c.y * 2 - a.y
        fits_x = (xb >= 0) & (xb < self._width) & ((xb - a.x) * step_x > 0)
        fits_y = (yb >= 0) & (yb < self._height) & ((yb - a.y) * step_y > 0)
        xb, yb = w.where(fits_x, xb, 0), w.where(fits_y, yb, 0)
        row = w.where(fits_x, self._at(beside, a.y, xb), -np.inf) + a.value
        column = w.where(fits_y, self._at(below, yb, a.x), -np.inf)
        total = row + column + c.value + self._at(kind_b, yb, xb)
        best, i, j = self._best_pairs(total, most, count)
        a, c = corners[kind_a].at(w, i), corners[CENTRE].at(w, j)
        return self._code(a.x, a.y, c.x * 2 - a.x, c.y * 2 - a.y, best)
