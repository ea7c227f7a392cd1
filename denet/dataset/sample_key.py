"""Randomness per sample without generators: a 64-bit counter hash over whole batches at once.

A sample's key is a function of (seed, epoch, sample index) alone, so what happens to a sample does
not depend on its batch, on the order of work or on the number of threads.
"""

from __future__ import annotations

import numpy as np

ORDER_BYTES = 20  # of memory per sample while ``shuffled`` sorts: two arrays and half of one
_CHUNK = 1 << 18  # keys made together, so that what they are made of stays in a core's cache
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, odd
_INDEX_BITS = 40
_MASK = 0xFFFFFFFFFFFFFFFF


def _mix(values: np.ndarray) -> np.ndarray:
    """Return a bijection of uint64 values: SplitMix64's finaliser (Steele et al. 2014, fig. 16)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def sample_keys(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """Return one uint64 key per sample index (n,).

    key = mix(mix(seed) + epoch * 2**40 + index) modulo 2**64; mix is a bijection, so under one seed
    no two (epoch, index) pairs share a key (epoch < 2**24, index < 2**40).
    """
    base = int(_mix(np.array([(seed + _GOLDEN) & _MASK], np.uint64))[0])
    start = np.uint64((base + (epoch << _INDEX_BITS)) & _MASK)
    return _mix(indices.astype(np.uint64) + start)


def uniform(keys: np.ndarray, stream: int) -> np.ndarray:
    """Return one float64 in [0, 1) per key; different ``stream`` numbers are independent draws."""
    bits = _mix(keys + np.uint64((stream + 1) * _GOLDEN & _MASK))
    fraction: np.ndarray = (bits >> np.uint64(11)) * 2.0**-53
    return fraction


def shuffled(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the sample indices 0..count-1 in the order of an epoch (count,) int64."""
    ranks = np.empty(count, np.uint64)
    for start in range(0, count, _CHUNK):
        part = ranks[start : start + _CHUNK]
        part[:] = _ranks(seed, epoch, np.arange(start, start + len(part)))
    return np.argsort(ranks, kind="stable")


def first_shuffled(seed: int, count: int, most: int) -> np.ndarray:
    """Return the first ``most`` of ``shuffled(seed, 0, count)``, sorted; memory holds no more."""
    first: np.ndarray = np.empty(0, np.int64)
    step = max(_CHUNK, most)
    for start in range(0, count, step):
        first = np.concatenate([first, np.arange(start, min(start + step, count))])
        if len(first) > most:
            first = first[np.argpartition(_ranks(seed, 0, first), most - 1)[:most]]
    return np.sort(first)


def _ranks(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """Return what samples are ordered by, uint64 (n,): no two of an epoch share one."""
    return _mix(sample_keys(seed, epoch, indices) ^ np.uint64(_GOLDEN))
