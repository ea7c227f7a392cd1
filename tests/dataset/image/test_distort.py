"""Distortions against np.pad, np.rot90 and SciPy; their tokens, ranges and frequencies."""

import numpy as np
import pytest
from scipy import ndimage

from denet.dataset.image.distort import distort, mirror, offset, parse_distortions, resample
from denet.dataset.sample_key import first_shuffled, sample_keys, shuffled, uniform
from denet.errors import UsageError

IMAGES = np.random.default_rng(1).integers(1, 256, (8, 5, 7, 3), dtype=np.uint8)
KEYS = sample_keys(7, 0, np.arange(8))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_offset_is_padding_and_cropping(dtype):
    images = IMAGES.astype(dtype)
    down = np.array([0, 1, -1, 2, 4, -4, 0, 9])  # 9: wholly outside
    right = np.array([0, 0, 2, -3, 1, 4, -7, 0])
    moved = offset(images, down, right)
    assert moved.dtype == dtype
    padded = np.pad(images, ((0, 0), (9, 9), (9, 9), (0, 0)))
    for i, (y, x) in enumerate(zip(9 - down, 9 - right, strict=True)):
        np.testing.assert_array_equal(moved[i], padded[i, y : y + 5, x : x + 7])
    assert moved[1, 0].max() == 0 and (moved[1, 1] == images[1, 0]).all()  # down means down


def test_mirror():
    chosen = np.array([True, False] * 4)
    result = mirror(IMAGES, chosen)
    np.testing.assert_array_equal(result[::2], IMAGES[::2, :, ::-1])
    np.testing.assert_array_equal(result[1::2], IMAGES[1::2])


@pytest.mark.parametrize("turns", [-1, 0, 1, 2])
def test_quarter_turns_are_exact(turns):
    square = IMAGES[:, :, 1:6]
    result = resample(square, np.ones(8), np.full(8, 90.0 * turns))
    np.testing.assert_array_equal(result, np.rot90(square, turns, axes=(1, 2)))  # anticlockwise


def test_scale_by_hand():
    """One bright pixel at the centre, twice as large, is a pyramid."""
    image = np.zeros((1, 5, 5, 1), np.uint8)
    image[0, 2, 2] = 200
    expected = np.outer([0, 0.5, 1, 0.5, 0], [0, 0.5, 1, 0.5, 0]) * 200
    result = resample(image, np.array([2.0]), np.zeros(1))[0, :, :, 0]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resample_is_scipys_affine_transform(dtype):
    images = IMAGES.astype(dtype)
    scale = np.array([1.0, 0.5, 1.1, 0.9, 1.0, 3.0, 0.8, 1.2])
    degrees = np.array([10.0, 0.0, -15.0, 30.0, 180.0, 5.0, 77.0, -120.0])
    result = resample(images, scale, degrees)
    assert result.dtype == dtype and result.shape == images.shape
    centre = np.array([2.0, 3.0])
    for i in range(8):
        cosine, sine = np.cos(np.deg2rad(degrees[i])), np.sin(np.deg2rad(degrees[i]))
        matrix = np.array([[cosine, sine], [-sine, cosine]]) / scale[i]  # (y, x)
        for channel in range(3):
            expected = ndimage.affine_transform(
                images[i, :, :, channel].astype(np.float64),
                matrix,
                centre - matrix @ centre,
                order=1,
                mode="grid-constant",
            )
            tolerance = 0.5001 if dtype == np.uint8 else 1e-3
            np.testing.assert_allclose(result[i, :, :, channel], expected, atol=tolerance)


def test_inputs_stay_and_nothing_is_the_identity():
    before = IMAGES.copy()
    distort(IMAGES, parse_distortions(["o4", "s20", "r30", "m50"]), KEYS)
    np.testing.assert_array_equal(IMAGES, before)
    for tokens in ([], ["o0", "s0", "r0", "m0"]):
        result = distort(IMAGES, parse_distortions(tokens), KEYS)
        np.testing.assert_array_equal(result, IMAGES)
    always = distort(IMAGES, parse_distortions(["m100"]), KEYS)
    np.testing.assert_array_equal(always, IMAGES[:, :, ::-1])


def test_a_sample_depends_on_its_key_alone():
    tokens = parse_distortions(["o3", "s10", "r20", "m50"])
    whole = distort(IMAGES, tokens, KEYS)
    for i in range(8):
        np.testing.assert_array_equal(
            distort(IMAGES[i : i + 1], tokens, KEYS[i : i + 1]), whole[i : i + 1]
        )


def test_offsets_and_mirrors_are_uniform():
    """o2 m30 on 50,000 samples: all 25 moves, each in 4 %, mirrored in 30 %, independently."""
    count = 50_000
    image = np.zeros((count, 7, 7, 1), np.uint8)
    image[:, 3, 3], image[:, 3, 4] = 1, 2  # the order of the two tells the mirror
    moved = distort(image, parse_distortions(["o2", "m30"]), sample_keys(5, 2, np.arange(count)))
    _, y, x, _ = np.nonzero(moved == 1)
    mirrored = (moved[np.arange(count), y, np.maximum(x - 1, 0), 0] == 2).astype(int)
    assert y.min() == 1 and y.max() == 5 and x.min() == 1 and x.max() == 5
    table = np.zeros((5, 5, 2))
    np.add.at(table, (y - 1, x - 1, mirrored), 1)
    expected = np.broadcast_to(np.array([0.7, 0.3]) * count / 25, table.shape)
    # chi-squared with 49 degrees of freedom: 85 is exceeded once in a thousand
    assert ((table - expected) ** 2 / expected).sum() < 85


def test_scales_and_angles_stay_in_range():
    image = np.zeros((2000, 21, 21, 1), np.float32)
    image[:, 10, 18] = 1.0  # 8 right of the centre
    keys = sample_keys(0, 0, np.arange(2000))
    grid = np.indices((21, 21)) - 10.0
    for token, radius, angle in (("s25", (6, 10), (0, 0)), ("r30", (8, 8), (-30, 30))):
        moved = distort(image, parse_distortions([token]), keys)[..., 0]
        y, x = (np.tensordot(moved, axis) / moved.sum(axis=(1, 2)) for axis in grid)
        for values, (low, high) in (
            (np.hypot(y, x), radius),
            (np.degrees(np.arctan2(-y, x)), angle),
        ):
            spread = (high - low) / 40 + 0.3
            assert low - 0.3 < values.min() < low + spread
            assert high - spread < values.max() < high + 0.3


@pytest.mark.parametrize(
    "tokens",
    [["q3"], [""], ["o"], ["o1.5"], ["o-1"], ["m101"], ["m-1"], ["s100"], ["r360"], ["rx"],
     ["snan"], ["4o"], ["o4", "o2"], ["oinf"]],
)  # fmt: skip
def test_bad_tokens(tokens):
    with pytest.raises(UsageError, match="--distort-mode"):
        parse_distortions(tokens)


def test_unknown_token_lists_the_known():
    with pytest.raises(UsageError, match="'q3'.*oX offset.*sX scale.*rX rotation.*mX mirror"):
        parse_distortions(["o4", "q3"])


def test_keys_are_unique_and_documented():
    indices = np.arange(20_000)
    keys = np.concatenate(
        [sample_keys(seed, epoch, indices) for seed in (0, 1) for epoch in range(5)]
    )
    assert keys.dtype == np.uint64 and len(np.unique(keys)) == len(keys)
    mask = 2**64 - 1

    def mix(z):  # SplitMix64 in plain integers
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    # the first output of the published generator started at 1234567
    assert mix((1234567 + 0x9E3779B97F4A7C15) & mask) == 6457827717110365317
    start = mix((9 + 0x9E3779B97F4A7C15) & mask)
    assert sample_keys(9, 3, np.array([17]))[0] == mix((start + 3 * 2**40 + 17) & mask)


def test_uniform_and_shuffled():
    keys = sample_keys(3, 1, np.arange(10_000))
    first, second = uniform(keys, 0), uniform(keys, 1)
    for draws in (first, second):
        assert draws.min() >= 0 and draws.max() < 1
        counts = np.histogram(draws, 10, (0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 28  # once in a thousand at 9 degrees
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04
    permutation = shuffled(3, 1, 10_000)
    assert sorted(permutation) == list(range(10_000))
    assert abs(np.corrcoef(permutation, np.arange(10_000))[0, 1]) < 0.04


@pytest.mark.parametrize("most", [1, 9, 300_000, 599_999])
def test_the_first_of_an_order_are_drawn_without_the_others(most):
    count = 600_000
    expected = np.sort(shuffled(7, 0, count)[:most])
    np.testing.assert_array_equal(first_shuffled(7, count, most), expected)


def test_which_samples_are_drawn():
    found = first_shuffled(7, 1_000_000, 6).tolist()
    assert found == [82267, 165426, 239595, 820999, 824696, 996097]
