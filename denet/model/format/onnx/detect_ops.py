"""What ops of detectors are in ONNX, and how their answers are chosen."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.detect.box import LARGEST_EXPONENT, SMALLEST_SIDE
from denet.detect.nms import active
from denet.detect.target import FITNESS_BINS, fitness_iou
from denet.graph.graph import Node
from denet.model.format.onnx.writer import Value, Writer

NO_ANSWER = -1.0  # score of what is not likely enough
ANSWERS = ("boxes", "scores", "classes", "rows")


def rows(w: Writer, x: Value) -> Value:
    """Return a map (n, c, h, w) as (n, h w, c)."""
    return w.transpose(w.reshape(x, 0, 0, -1), 0, 2, 1)


def sparse_sample(w: Writer, node: Node, x: Value, sample: Value) -> Value:
    """Return the features (n, G G f + 2, S, S) at a grid of points of each sample."""
    op: Any = node.op
    _, height, width, features = node.inputs[0].shape
    _, side, _, channels = node.outputs[0].shape
    steps, last = np.arange(op.grid_size, dtype=np.float32), float(op.grid_size - 1)
    if op.grid_size == 1:
        steps, last = np.ones(1, np.float32), 2.0  # half way
    x0, y0, x1, y1 = (w.pick(sample, 2, each) for each in range(4))

    def nearest(low: Value, high: Value, length: int) -> Value:
        low, high = w.unsqueeze(low, -1), w.unsqueeze(high, -1)
        points = (low + w.constant(steps) * (high - low) / last) * float(length)
        inside = points.maximum(0.0).minimum(float(length - 1))
        return w.op("Floor", inside + 0.5).cast("int")

    columns = w.unsqueeze(nearest(x0, x1, width), 2)
    cells = w.unsqueeze(nearest(y0, y1, height), 3) * width + columns
    cells = w.unsqueeze(w.reshape(cells, 0, -1), -1)
    read = w.op("GatherND", rows(w, x), cells, batch_dims=1)
    read = w.reshape(read, 0, side * side, op.grid_size**2 * features)
    found = w.concat(read, w.stack(y1 - y0, x1 - x0), axis=2)
    return w.reshape(w.transpose(found, 0, 2, 1), 0, channels, side, side)


def detection_probability(w: Writer, node: Node, x: Value) -> Value:
    """Return the softmax (n, S S, k) of logits (n, k, S, S)."""
    return w.op("Softmax", rows(w, x), axis=-1)


def decode_box(w: Writer, node: Node, *inputs: Value) -> Value:
    """Return the boxes (n, S S, 4) to which a regression leads from the samples."""
    *regression, sample = inputs
    if not regression:
        return w.op("Identity", sample)
    move = rows(w, regression[0])
    low, high = w.cut(sample, 2, 0, 2), w.cut(sample, 2, 2, 4)
    side = (high - low).maximum(SMALLEST_SIDE)
    middle = (low + high) / 2.0 + w.cut(move, 2, 0, 2) * side
    half = side * w.op("Exp", w.cut(move, 2, 2, 4).minimum(LARGEST_EXPONENT)) / 2.0
    return w.concat(middle - half, middle + half, axis=2)


@dataclass(frozen=True)
class Choice:
    """Which answers are given: what ``DetectParams`` calls by these names."""

    pr_threshold: float = 0.01
    nms_threshold: float = 0.5


def answers(
    w: Writer,
    outputs: Mapping[str, Value],
    class_num: int,
    shape: tuple[int, ...],
    overlap_threshold: float,
    choice: Choice,
) -> tuple[Value, ...]:
    """Return what is found as the columns ANSWERS: (d, 4), (d,), (d,), (d,).

    They come by row of the batch, each from the best down. ``outputs`` as ``candidates`` takes
    them, which says what the numbers mean; ``shape`` is that of the probabilities.
    """
    _, sample_num, kinds = shape
    levels = fitness_iou(overlap_threshold).tolist()
    probability = outputs["detection_probability"]
    likelihood = w.cut(probability, 2, 0, -1)
    if kinds == FITNESS_BINS * class_num + 1:
        pairs = w.reshape(likelihood, 0, 0, class_num, FITNESS_BINS)
        steps = [w.pick(pairs, 3, each) for each in range(FITNESS_BINS)]
        likelihood, score = _sum(steps), _sum(_times(steps, levels))
    elif "detection_fitness" in outputs:
        # the first of the six says that there is no object
        steps = [
            w.cut(outputs["detection_fitness"], 2, each + 1, each + 2)
            for each in range(FITNESS_BINS)
        ]
        score = likelihood * _sum(_times(steps, levels))
    else:
        score = likelihood
    number = w.range(w.ints(sample_num))
    there = number < w.unsqueeze(outputs["sample_count"], 1)
    likely = (likelihood >= choice.pr_threshold) & w.unsqueeze(there, -1)
    box = outputs["detection_box"]
    if active(choice.nms_threshold):
        masked = w.transpose(w.where(likely, score, NO_ANSWER), 0, 2, 1)
        limits = [
            w.constant(np.array([each], np.float32)) for each in (choice.nms_threshold, NO_ANSWER)
        ]
        kept = w.op("NonMaxSuppression", box, masked, w.ints(sample_num), *limits, type="int")
        row, class_index, sample = (w.pick(kept, 1, each) for each in range(3))
    else:
        found = w.op("NonZero", likely, type="int")
        row, sample, class_index = (w.pick(found, 0, each) for each in range(3))
    place = (row * sample_num + sample) * class_num + class_index
    place, _ = w.top(place, w.length(place, 0), largest=False)
    place, score = _best_first(w, place, score, sample_num * class_num)
    row, rest = place // (sample_num * class_num), place % (sample_num * class_num)
    sample, class_index = rest // class_num, rest % class_num
    return w.op("GatherND", box, w.stack(row, sample)), score, class_index, row


def _sum(parts: list[Value]) -> Value:
    """Return their sum, taken from the first to the last as NumPy takes it."""
    return functools.reduce(operator.add, parts)


def _times(parts: list[Value], factors: list[float]) -> list[Value]:
    return [part * factor for part, factor in zip(parts, factors, strict=True)]


def _best_first(w: Writer, place: Value, score: Value, size: int) -> tuple[Value, Value]:
    """Return sorted places (d,) in score, of which each row has ``size``: the best of a row first.

    And their scores.
    """
    found = w.op("Gather", w.reshape(score, -1), place, axis=0)
    length = w.length(place, 0)
    _, best = w.top(found, length)
    _, order = w.top(w.take(place, best) // size, length, largest=False)
    best = w.take(best, order)
    return w.take(place, best), w.take(found, best)
