"""The grid of blocks of threads that a kernel runs as."""

from __future__ import annotations

THREADS = 256  # of a block, where a kernel has no reason for another number


def blocks(count: int, each: int = THREADS) -> int:
    """Return how many blocks cover ``count`` with ``each`` apiece, at least one."""
    return max(1, -(-count // each))
