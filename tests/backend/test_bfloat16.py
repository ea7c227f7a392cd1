"""bfloat16 bit patterns against hand-worked values."""

import numpy as np
import pytest

from denet.bfloat16 import from_float32, to_float32


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (0.0, 0x0000),
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (1.00390625, 0x3F80),  # 1 + 2^-8, a tie: goes to the even neighbour below
        (1.01171875, 0x3F82),  # 1 + 3 * 2^-8, a tie: goes to the even neighbour above
        (3.4028234663852886e38, 0x7F80),  # the largest float32 rounds to infinity
        (np.inf, 0x7F80),
        (np.nan, 0x7FC0),
    ],
)
def test_rounding(value, bits):
    assert from_float32(np.array([value], np.float32))[0] == bits


def test_every_finite_pattern_survives_the_way_there_and_back():
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    values = to_float32(bits)
    bits = bits[~np.isnan(values)]
    assert (from_float32(to_float32(bits)) == bits).all()
