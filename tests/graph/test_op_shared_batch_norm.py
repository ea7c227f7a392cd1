"""Ranks with parts of a batch against batch normalisation of the whole."""

from functools import partial

import numpy as np
import pytest
from graph.ranks import Ranks
from tolerance import assert_close

from denet.graph.op.base import Run
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.shared_batch_norm import SharedBatchNorm
from denet.graph.share_statistics import without_images

SIZES = [(2, 2), (3, 1), (1, 1), (4, 1, 2)]  # images of each rank
TRAINING = Run(True)
each_size = pytest.mark.parametrize("sizes", SIZES, ids=str)


def normalised(op, x, g, gamma, beta):
    """Return the outputs of forward and the gradients of x, gamma and beta."""
    unused = np.full_like(gamma, np.nan)
    outputs, saved = op.forward(TRAINING, x, gamma, beta, unused, unused)
    read = (x, gamma, None, None, None)
    kept = outputs if op.activation else (None,) * len(outputs)
    gradients = op.backward(TRAINING, read, kept, saved, (g, *[None] * (len(outputs) - 1)))
    return outputs, gradients[:3]


def shared(ranks, sizes, x, g, gamma, beta, activation=None):
    """Run every rank on its part of x; g is the gradient of the mean over all images."""
    parts = np.split(x, np.cumsum(sizes)[:-1]), np.split(g, np.cumsum(sizes)[:-1])
    works = []
    for size, one, gradient, total in zip(sizes, *parts, ranks.sums, strict=False):
        op = SharedBatchNorm(1e-5, activation, sum_over_ranks=total)
        own = gradient * (sum(sizes) / size)  # of the mean over its own images
        works.append(partial(normalised, op, one, own, gamma, beta))
    return works


def batch(sizes, shape=(4, 5, 3), dtype=np.float64):
    """Draw x, g, gamma and beta; the ranks' images lie about different means."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, sum(sizes), *shape)).astype(dtype)
    x += np.repeat(np.arange(len(sizes)), sizes)[:, None, None, None].astype(dtype)
    return x, g, *(rng.standard_normal((2, shape[2])).astype(dtype) + dtype(1))


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 1, 2)], ids=str)
@each_size
def test_parts_of_a_batch_equal_the_whole(sizes, shape, activation):
    x, g, gamma, beta = batch(sizes, shape)
    (y, mean, variance), (gx, *vectors) = normalised(BatchNorm(1e-5, activation), x, g, gamma, beta)
    ranks = Ranks(len(sizes))
    found = ranks.run(shared(ranks, sizes, x, g, gamma, beta, activation))
    assert ranks.exchanges == 2  # of forward and of backward
    shares = np.array(sizes) / sum(sizes)
    assert_close(np.concatenate([outputs[0] for outputs, _ in found]), y, "f64")
    for outputs, _ in found:
        assert_close(outputs[1], mean, "f64")
        assert_close(outputs[2], variance, "f64")
        assert_close(outputs[3], x.var(axis=(0, 1, 2), ddof=1), "f64")
    own = [one[1][0] * share for one, share in zip(found, shares, strict=True)]
    np.testing.assert_allclose(np.concatenate(own), gx, rtol=0, atol=1e-11)
    for index, expected in enumerate(vectors, 1):
        total = sum(share * one[1][index] for share, one in zip(shares, found, strict=True))
        np.testing.assert_allclose(total, expected, rtol=0, atol=1e-11)


def test_by_hand():
    """Values 1 and 3 of one rank, 8 of the other: mean 4, squares 9 + 1 + 16."""
    ranks = Ranks(2)
    parts = [np.array(values, np.float64).reshape(-1, 1, 1, 1) for values in ([1, 3], [8])]
    ones = np.ones(1)
    works = [
        partial(normalised, SharedBatchNorm(1.0, sum_over_ranks=total), x, x, ones, 0 * ones)
        for x, total in zip(parts, ranks.sums, strict=True)
    ]
    for (_, mean, variance, unbiased), _ in ranks.run(works):
        assert_close([*mean, *variance, *unbiased], [4, 26 / 3, 13], "f64")


def test_float32_statistics_far_from_zero():
    """Means of a thousand deviations: float32 squares would have no digit of the variance."""
    sizes = (3, 1, 2)
    x, *others = batch(sizes, (32, 32, 2), np.float32)
    x = (x + np.float32([1000, -3000])).astype(np.float32)
    ranks = Ranks(3)
    found = ranks.run(shared(ranks, sizes, x, *others))
    double = x.astype(np.float64)
    for (_, mean, variance, _), _ in found:
        assert mean.dtype == variance.dtype == np.float32
        np.testing.assert_allclose(mean, double.mean(axis=(0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(variance, double.var(axis=(0, 1, 2)), rtol=1e-5)


def test_a_rank_without_images_does_not_count():
    sizes = (2, 1)
    x, g, gamma, beta = batch(sizes)
    (y, mean, variance), (gx, *_) = normalised(BatchNorm(1e-5), x, g, gamma, beta)
    ranks = Ranks(3)
    op = SharedBatchNorm(1e-5, sum_over_ranks=without_images(ranks.sums[2]))
    anything = partial(normalised, op, 100 + x[:1], 7 * g[:1], gamma, beta)
    *found, (idle, _) = ranks.run([*shared(ranks, sizes, x, g, gamma, beta), anything])
    assert_close(np.concatenate([outputs[0] for outputs, _ in found]), y, "f64")
    assert_close(found[0][1][0] * (2 / 3), gx[:2], "f64")
    assert_close(idle[1], mean, "f64")
    assert_close(idle[2], variance, "f64")
    assert (idle[3] == found[0][0][3]).all()


def test_a_second_pass_exchanges_nothing_and_gives_the_same_bits():
    exchanges = []
    op = SharedBatchNorm(1e-5, "relu", sum_over_ranks=lambda part: exchanges.append(part) or part)
    x, _, gamma, beta = batch((3,), dtype=np.float32)
    inputs = x, gamma, beta, gamma, beta
    outputs, saved = op.forward(TRAINING, *inputs)
    again, saved_again = op.repeat(TRAINING, inputs, (None, *outputs[1:]))
    assert len(exchanges) == 1
    for one, another in zip((*outputs, *saved), (*again, *saved_again), strict=True):
        assert (one == another).all()
