"""Times in words."""

import pytest

from denet.train.progress import duration

WORDS = [
    (0, "0.0 s"),
    (8.24, "8.2 s"),
    (59.4, "59.4 s"),
    (59.7, "1 min 00 s"),
    (200, "3 min 20 s"),
    (3599.6, "1 h 00 min"),
    (7500, "2 h 05 min"),
    (86400 * 3 + 3600 * 4, "3 d 04 h"),
]


@pytest.mark.parametrize("seconds, words", WORDS)
def test_duration(seconds, words):
    assert duration(seconds) == words
