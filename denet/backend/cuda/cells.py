"""How the threads of a kernel share the maps of a batch: the launch side of cells.cuh."""

from __future__ import annotations

from denet.backend.cuda.device import Grid
from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import VECTOR_BYTES, Unserved

MOST_SAMPLES = (1 << 16) - 1  # what a grid counts along its second and third dimension


def vector_size(itemsize: int, *channels: int) -> int:
    """Return how many channels a thread takes: a vector where all the counts allow it, else 1."""
    size = VECTOR_BYTES // itemsize
    return 1 if any(count % size for count in channels) else size


def sample_grid(samples: int, threads: int) -> Grid:
    """Return the grid with ``threads`` in each sample; Unserved where it is too large."""
    if samples > MOST_SAMPLES:
        raise Unserved(f"a batch of {samples}")
    return blocks(threads, THREADS), samples, 1
