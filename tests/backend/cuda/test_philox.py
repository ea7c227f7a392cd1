"""Random numbers of the kernels against numpy.random, bit by bit."""

import numpy as np
import pytest
from backend.cuda import written
from backend.cuda.devices import unavailable

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

KEYS = [(0, 0), (1, 7), ((1 << 64) - 1, 3), (0x9E3779B97F4A7C15, (1 << 64) - 1)]
LASTS = np.array([0, 1, 2, 9, 255, 65535, (1 << 31) + 1, (3 << 30) + 5, (1 << 32) - 2], np.uint32)

each_key = pytest.mark.parametrize("key", KEYS, ids=str)


def run(body, key, *arguments):
    """Run one thread; the kernel gets a key, a salt and these arrays."""
    numbers = [np.uint64(number) for number in key]
    written.run(body, [*numbers, *arguments], header="philox.cuh", threads=1)


def generator(key):
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))


BLOCKS = """
extern "C" __global__ void run(
    unsigned long long key, unsigned long long salt, unsigned long long* words, float* numbers) {
    for (int i = 0; i < 100; i++) {
        const Words drawn = philox(i + 1, key, salt);
        for (int k = 0; k < 4; k++) {
            words[4 * i + k] = drawn.word[k];
            numbers[8 * i + 2 * k] = uniform(drawn.word[k]);
            numbers[8 * i + 2 * k + 1] = uniform(drawn.word[k] >> 32);
        }
    }
}
"""


@each_key
def test_words_and_floats_are_those_of_numpy(key):
    words, numbers = np.empty(400, np.uint64), np.empty(800, np.float32)
    run(BLOCKS, key, words, numbers)
    assert (words == generator(key).bit_generator.random_raw(400)).all()
    assert (numbers == generator(key).random(800, np.float32)).all()


# integers take half words, of which one waits while whole words are drawn
MIXED = """
extern "C" __global__ void run(
    unsigned long long key, unsigned long long salt, const unsigned* lasts, int count,
    unsigned* integers, unsigned char* below, unsigned long long limit) {
    Generator generator(key, salt);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < count; i++) *integers++ = generator.integers(lasts[i]);
        for (int i = 0; i < 3; i++) *below++ = generator.below(limit);
    }
}
"""


@each_key
@pytest.mark.parametrize("chance", [0.0, 0.3, 0.5, 1.0])
def test_integers_and_chances_are_those_of_numpy_in_any_order(key, chance):
    """The large bounds refuse every second or fourth draw, the 0 draws nothing."""
    integers, below = np.empty((50, len(LASTS)), np.uint32), np.empty((50, 3), np.uint8)
    limit = np.uint64(np.ceil(np.ldexp(chance, 53)))
    run(MIXED, key, LASTS, np.int32(len(LASTS)), integers, below, limit)
    expected = generator(key)
    for found, hit in zip(integers, below, strict=True):
        assert [expected.integers(int(last), endpoint=True) for last in LASTS] == found.tolist()
        assert [expected.random() < chance for _ in range(3)] == hit.tolist()
