"""Costs and outputs of a detector: worked by hand, against plain loops, and at the edges."""

from math import exp, log

import numpy as np
import pytest
from graph.cases import HEADS

from denet.detect.box import BOX_CAPACITY
from denet.graph.op.base import Run
from denet.graph.op.box_regression import BoxRegression, bounded_errors
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy

WHOLE = (0.0, 0.0, 1.0, 1.0)
FAR = (0.0, 0.0, 0.1, 0.1)
TRAINING = Run(True, np.zeros(1, np.uint64))


def run(op, x, sample, box, box_class):
    """Return cost and gradient; the gradient of the cost is 1."""
    outputs, saved = op.forward(TRAINING, x, sample, box, box_class)
    gradients = op.backward(TRAINING, (None,) * 4, (None,), saved, (np.ones((), x.dtype),))
    assert gradients[1:] == (None, None, None)
    return float(outputs[0]), gradients[0]


def one_image(side, samples, objects):
    """Return the inputs behind the map: these samples, the others far from these objects."""
    sample = np.array([[*samples, *[FAR] * (side * side - len(samples))]], np.float64)
    box, box_class = np.zeros((1, BOX_CAPACITY, 4)), np.full((1, BOX_CAPACITY), -1, np.int32)
    for place, (corners, class_index) in enumerate(objects):
        box[0, place], box_class[0, place] = corners, class_index
    return sample, box, box_class


@pytest.mark.parametrize(
    ("classes", "joint", "outputs"), [(1, False, 2), (20, False, 21), (3, True, 16)]
)
def test_knowing_nothing_costs_the_factor(classes, joint, outputs):
    """Logits of 0: -log(1 / k) / log k = 1 for each of S^2 samples, divided by S^2."""
    truth = one_image(3, [WHOLE], [(WHOLE, classes - 1)])
    cost, gradient = run(
        DetectionCrossEntropy(0.5, 0.5, joint), np.zeros((1, 3, 3, outputs)), *truth
    )
    assert cost == pytest.approx(0.5)
    scale = 0.5 / (9 * log(outputs))
    column = 5 * (classes - 1) + 4 if joint else classes - 1
    assert gradient[0, 0, 0, column] == pytest.approx(scale * (1 / outputs - 1))
    assert gradient[0, 2, 2, -1] == pytest.approx(scale * (1 / outputs - 1))  # null
    assert gradient[0, 2, 2, 0] == pytest.approx(scale / outputs)


def test_class_cost_by_hand():
    """One sample, two classes and null; softmax (1/2, 1/4, 1/4); both classes count half."""
    x = np.log([2.0, 1, 1]).reshape(1, 1, 1, 3)
    truth = one_image(1, [WHOLE], [(WHOLE, 0), ((0, 0, 1, 0.75), 1)])
    cost, gradient = run(DetectionCrossEntropy(1.0, 0.5, False), x, *truth)
    assert cost == pytest.approx((log(2) / 2 + log(4) / 2) / log(3))
    assert gradient.ravel() == pytest.approx(np.array([0, -1 / 4, 1 / 4]) / log(3))


def test_fitness_cost_by_hand():
    """IoU 0.75 is bin 2 of threshold 0.5, hence index 3; a fitness of its own, not a slice of the
    class logits (the 2017 program failed here)."""
    x = np.array([[5, 4, 3, 2, 1, 0.0], [0, 0, 0, 0, 0, 1]])[:, None, None]
    one, two = one_image(1, [WHOLE], [((0, 0, 1, 0.75), 7)]), one_image(1, [WHOLE], [])
    truth = [np.concatenate(pair) for pair in zip(one, two, strict=True)]
    cost, gradient = run(FitnessCrossEntropy(0.1, 0.5), x, *truth)
    first = log(sum(exp(value) for value in range(6))) - 2
    second = log(5 + exp(1))
    assert cost == pytest.approx(0.1 * (first + second) / 2 / log(6))
    assert gradient[1, 0, 0, 0] == pytest.approx(0.1 / 2 / log(6) * (1 / (5 + exp(1)) - 1))


def test_standard_box_cost_by_hand():
    """Sample (0, 0, 1, 1), object (0, 0.25, 0.5, 1): code (-1/4, 1/8, ln 1/2, ln 3/4)."""
    code = np.array([-1 / 4, 1 / 8, log(1 / 2), log(3 / 4)])
    e = np.array([0.5, -3, 0, 1.5])
    truth = one_image(2, [WHOLE], [((0, 0.25, 0.5, 1), 0)])
    x = np.full((1, 2, 2, 4), 9.0)  # samples without an object cost nothing
    x[0, 0, 0] = code + e
    cost, gradient = run(BoxRegression(1.0, 0.3, False), x, *truth)
    assert cost == pytest.approx((0.125 + 2.5 + 0 + 1) / 4)
    assert gradient[0, 0, 0] == pytest.approx(np.array([0.5, -1, 0, 1]) / 4)
    assert not gradient[0, 1].any() and not gradient[0, 0, 1].any()


def test_bounded_box_cost_by_hand():
    """Regressed box of centre (0.6, 0.5), sides 0.5 and 1 against centre (0.5, 0.5), sides 1."""
    x = np.array([0.1, 0, log(0.5), 0]).reshape(1, 1, 1, 4)
    truth = one_image(1, [WHOLE], [(WHOLE, 0)])
    cost, gradient = run(BoxRegression(1.0, 0.5, True), x, *truth)
    errors = np.array([0.2 / 1.101, 0, 1 - 0.5 / 1.001, 1 - 1 / 1.001])
    assert cost == pytest.approx((errors**2).sum() / 2)
    slopes = [2 * 1.001 / 1.101**2, 0, -0.5 / 1.001, -1 / 1.001]
    assert gradient.ravel() == pytest.approx(errors * slopes)


@pytest.mark.parametrize("distance", [0.02, 0.1, 0.3])
def test_bound_of_a_shift_is_tight_in_the_form_of_the_code(distance):
    """A box of the size of its object, moved by dx: 1 - IoU is 2|dx| / (w + |dx|) without eps;
    the form of the paper, 4|dx| / (w + 2|dx|), is larger than 1 - IoU: it bounds nothing."""
    sample = np.array([(0.2, 0.2, 0.7, 0.6)])
    moved = np.array([[distance / 0.5, 0, 0, 0]])
    e, _ = bounded_errors(moved, sample, sample)
    iou = (0.5 - distance) / (0.5 + distance)
    assert e[0, 0] == pytest.approx(1 - iou, rel=3e-3)  # eps
    assert 4 * distance / (0.5 + 2 * distance) > 1.1 * (1 - iou)


@pytest.mark.parametrize("bounded", [False, True])
def test_the_factor_counts_once(bounded):
    """In 2017 it was applied twice: 1/8 acted as 1/64."""
    truth = one_image(1, [WHOLE], [((0, 0, 1, 0.75), 0)])
    x = np.full((1, 1, 1, 4), 0.3)
    plain = run(BoxRegression(1.0, 0.5, bounded), x, *truth)
    eighth = run(BoxRegression(0.125, 0.5, bounded), x, *truth)
    assert plain[0] > 0
    assert eighth[0] == pytest.approx(plain[0] / 8)
    np.testing.assert_allclose(eighth[1], plain[1] / 8)


def loop_cost(op, x, sample, box, box_class):
    """Return the cost of a row of the case table by loops over everything."""
    n, side, _, k = x.shape
    total = 0.0
    for image, place in np.ndindex(n, side * side):
        logits = x[image, place // side, place % side]
        found = []  # (IoU, class, box) of the objects above the threshold
        x0, y0, x1, y1 = sample[image, place]
        for corners, class_index in zip(box[image], box_class[image], strict=True):
            u0, v0, u1, v1 = corners
            shared = max(min(x1, u1) - max(x0, u0), 0) * max(min(y1, v1) - max(y0, v0), 0)
            iou = shared / ((x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - shared)
            if class_index >= 0 and iou > op.overlap:
                found.append((iou, class_index, corners))
        if isinstance(op, BoxRegression):
            if found:
                target = max(found, key=lambda each: each[0])[2]
                total += box_loss(logits, (x0, y0, x1, y1), target, op.bounded)
            continue
        bins = [min(int(5 * (iou - op.overlap) / (1 - op.overlap)), 4) for iou, _, _ in found]
        if isinstance(op, FitnessCrossEntropy):
            right = {1 + f for f in bins} or {0}
        elif op.joint:
            right = {5 * each[1] + f for each, f in zip(found, bins, strict=True)} or {k - 1}
        else:
            right = {each[1] for each in found} or {k - 1}
        norm = log(sum(exp(value) for value in logits))
        total += sum(norm - logits[each] for each in right) / len(right) / log(k)
    return op.factor * total / (n * side * side)


def box_loss(code, sample, target, bounded):
    """Return the sum of four smooth L1, by axis."""
    total = 0.0
    for axis in (0, 1):
        side, t_side = sample[axis + 2] - sample[axis], target[axis + 2] - target[axis]
        middle, t_middle = (each[axis] + each[axis + 2] for each in (sample, target))
        shift = (t_middle - middle) / 2
        if bounded:
            d = abs(shift - code[axis] * side)
            p = side * exp(code[axis + 2])
            errors = (
                2 * d / (t_side + d + 0.001),
                1 - min(t_side / (p + 0.001), p / (t_side + 0.001)),
            )
        else:
            errors = code[axis] - shift / side, code[axis + 2] - log(t_side / side)
        for e in errors:
            total += e * e / 2 if abs(e) < 1 else abs(e) - 0.5
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
def test_costs_equal_loops(case, seed):
    inputs = case.inputs(seed)
    (cost,), (gradient,) = case.op.forward(case.run(), *inputs)
    assert cost == pytest.approx(loop_cost(case.op, *inputs), rel=1e-12)
    assert np.abs(gradient).sum() > 0


COSTS = [
    (DetectionCrossEntropy(1.0, 0.5, False), 4),
    (DetectionCrossEntropy(1.0, 0.5, True), 16),
    (FitnessCrossEntropy(1.0, 0.5), 6),
    (BoxRegression(1.0, 0.5, False), 4),
    (BoxRegression(1.0, 0.5, True), 4),
]
POINT = (0.5, 0.5, 0.5, 0.5)
EDGES = {
    "no ground truth": [],
    "as many boxes as fit": [((place / 256, 0, 1, 1), place % 3) for place in range(BOX_CAPACITY)],
    "the same box 128 times": [(WHOLE, 0)] * BOX_CAPACITY,
    "a box without area": [(POINT, 1)],
    "a line": [((0, 0.5, 1, 0.5), 1)],
    "the wrong way round": [((1, 1, 0, 0), 1)],
    "far outside": [((-9, -9, 9, 9), 2)],
}


@pytest.mark.parametrize("overlap", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(("op", "outputs"), COSTS, ids=str)
def test_nothing_is_ever_nan(op, outputs, edge, overlap):
    """Samples without area and wild logits among them; no floating-point fault either."""
    op = type(op)(**{**vars(op), "overlap": overlap})
    sample, box, box_class = (
        array.astype(np.float32) if array.dtype == np.float64 else array
        for array in one_image(3, [WHOLE, POINT, (0, 0, 1, 0), (1, 1, 0, 0)], EDGES[edge])
    )
    for scale in (0, 1, 1e4):
        x = np.random.default_rng(1).normal(size=(1, 3, 3, outputs)).astype(np.float32) * scale
        x = x.astype(np.float32)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            cost, gradient = run(op, x, sample, box, box_class)
        assert np.isfinite(cost) and np.isfinite(gradient).all()
        if not EDGES[edge] and isinstance(op, BoxRegression):
            assert cost == 0 and not gradient.any()


def test_probability_is_the_softmax_of_each_sample():
    x = np.log(np.arange(1.0, 9)).reshape(1, 2, 2, 2)
    (y,), _ = DetectionProbability().forward(Run(False), x)
    assert y[0] == pytest.approx(
        np.array([[1 / 3, 2 / 3], [3 / 7, 4 / 7], [5 / 11, 6 / 11], [7 / 15, 8 / 15]])
    )


def test_boxes_are_decoded_sample_by_sample():
    """Sample i belongs to row i // S, column i % S."""
    sample = np.array([[(0, 0, 0.5, 0.5), WHOLE, WHOLE, WHOLE]])
    regression = np.zeros((1, 2, 2, 4))
    regression[0, 0, 0] = 1, 0, 0, log(2)
    regression[0, 1, 0] = 0, 0.5, 0, 0
    (box,), _ = DecodeBox().forward(Run(False), regression, sample)
    expected = [(0.5, -0.25, 1, 0.75), WHOLE, (0, 0.5, 1, 1.5), WHOLE]
    np.testing.assert_allclose(box[0], expected, atol=1e-15)
    (alone,), _ = DecodeBox().forward(Run(False), sample)
    assert (alone == sample).all() and alone is not sample
