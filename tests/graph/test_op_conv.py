"""Convolution and its transpose against SciPy, direct sums and values worked by hand."""

import itertools

import numpy as np
import pytest
from graph.cases import CONVOLUTIONS, DECONVOLUTIONS, FUSED
from scipy.signal import correlate2d
from tolerance import assert_close

from denet.graph.op import correlation
from denet.graph.op.base import Run
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.tensor_type import TensorType

PREDICTION = Run(training=False)


def each_case(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def apply(op, *inputs):
    return op.forward(PREDICTION, *inputs)[0][0]


def one_channel(rows):
    """Return a (1, h, w, 1) map."""
    return np.array(rows, np.float64)[None, :, :, None]


def one_filter(rows):
    """Return a (1, 1, kh, kw) weight."""
    return np.array(rows, np.float64)[None, None]


def scipy_convolution(op, x, weight):
    (sy, sx), (rows, columns) = op.stride, op.padding
    padded = np.pad(x, ((0, 0), rows, columns, (0, 0)))
    filters, seen = len(weight) // op.groups, weight.shape[1]
    maps = [
        [
            sum(
                correlate2d(padded[n, :, :, o // filters * seen + c], weight[o, c], mode="valid")
                for c in range(seen)
            )[::sy, ::sx]
            for o in range(len(weight))
        ]
        for n in range(len(x))
    ]
    return np.array(maps).transpose(0, 2, 3, 1)


@each_case(CONVOLUTIONS)
def test_convolution_equals_scipy(case):
    x, weight, *bias = case.inputs()
    expected = scipy_convolution(case.op, x, weight) + (bias[0] if bias else 0)
    assert_close(apply(case.op, x, weight, *bias), expected, "f64")


@each_case(FUSED)
def test_fused_terms_come_in_order_bias_residual_relu(case):
    x, weight, *others = case.inputs()
    expected = scipy_convolution(case.op, x, weight)
    if case.op.bias:
        expected = expected + others[0]
    if case.op.residual:
        expected = expected + others[-1]
    if case.op.activation:
        expected = expected.clip(min=0)
    assert_close(apply(case.op, x, weight, *others), expected, "f64")


@each_case(DECONVOLUTIONS)
def test_deconvolution_equals_the_sum_of_placed_windows(case):
    x, weight, *bias = case.inputs()
    (sy, sx), ((top, _), (left, _)) = case.op.stride, case.op.padding
    expected = np.zeros(case.op.infer(*case.types)[0].shape)
    for n, i, j in itertools.product(*map(range, x.shape[:3])):
        for a, b in itertools.product(*map(range, weight.shape[2:])):
            row, column = i * sy + a - top, j * sx + b - left
            if 0 <= row < expected.shape[1] and 0 <= column < expected.shape[2]:
                expected[n, row, column] += weight[:, :, a, b] @ x[n, i, j]
    assert_close(apply(case.op, x, weight, *bias), expected + (bias[0] if bias else 0), "f64")


@each_case([case for case in DECONVOLUTIONS if not case.op.bias])
def test_deconvolution_is_the_adjoint_of_convolution(case):
    """<conv(y), x> = <y, deconv(x)>."""
    x, weight = case.inputs()
    conv = Conv(case.op.stride, case.op.padding)
    y = np.random.default_rng(1).standard_normal(case.op.infer(*case.types)[0].shape)
    left = (apply(conv, y, weight.swapaxes(0, 1)) * x).sum()
    right = (y * apply(case.op, x, weight)).sum()
    np.testing.assert_allclose(left, right, rtol=1e-12)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (((0, 0), (0, 0)), [[9]]),
        (((1, 1), (1, 1)), [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
        (((1, 0), (0, 0)), [[6], [9]]),
        (((0, 0), (0, 2)), [[9, 6, 3]]),
    ],
)
def test_a_window_of_ones_counts_the_cells_it_covers(padding, expected):
    y = apply(Conv(padding=padding), one_channel(np.ones((3, 3))), one_filter(np.ones((3, 3))))
    assert y[0, :, :, 0].tolist() == expected


def test_the_filter_is_not_turned():
    x = one_channel([[1, 0, 0], [0, 0, 0], [0, 0, 10]])
    y = apply(Conv(), x, one_filter([[1, 2], [3, 4]]))
    assert y[0, :, :, 0].tolist() == [[1, 0], [0, 40]]


def test_deconvolution_by_hand():
    x = one_channel([[1, 10]])
    y = apply(Deconv((2, 2)), x, one_filter([[1, 2, 3]]))
    # 1 2 3 . .  +  . . 10 20 30, then one row and one column more that no window reaches
    assert y[0, :, :, 0].tolist() == [[1, 2, 13, 20, 30, 0], [0, 0, 0, 0, 0, 0]]


@each_case([*CONVOLUTIONS, *DECONVOLUTIONS])
def test_cutting_the_batch_changes_nothing_but_the_order_of_sums(case, monkeypatch):
    inputs, run = tuple(case.inputs()), case.run()
    gradients = case.output_gradients()

    def everything():
        outputs, saved = case.op.forward(run, *inputs)
        return outputs + case.op.backward(run, inputs, outputs, saved, gradients)

    whole = everything()
    monkeypatch.setattr(correlation, "BLOCK_BYTES", 1)
    for cut, expected in zip(everything(), whole, strict=True):
        assert_close(cut, expected, "f64")


@pytest.mark.parametrize(
    ("op", "x", "weight", "expected"),
    [
        # the stem of ResNet: 112 * 112 * 64 outputs of 147 multiply-adds
        (Conv((2, 2), ((3, 3), (3, 3))), (1, 224, 224, 3), (64, 3, 7, 7), 236_027_904),
        (Conv(), (2, 1, 1, 512), (10, 512, 1, 1), 2 * 2 * 512 * 10),
        (Deconv((2, 2)), (1, 4, 4, 8), (5, 8, 3, 3), 2 * 16 * 8 * 5 * 9),
    ],
)
def test_floating_point_operations(op, x, weight, expected):
    types = TensorType(x), TensorType(weight, "float32")
    assert op.flops(types, op.infer(*types)) == expected
