"""Flat arrays of several ranks, exchanged by NCCL, against sums of float64; and seeded faults."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
from backend.cuda.streams import ORDERS
from multi.fake_nccl import FakeNccl, Gpu
from multi.threads import Board, ThreadWire

from denet.backend.cuda import lane
from denet.backend.cuda.memory import DeviceMemory
from denet.multi import nccl
from denet.multi.exchange import buckets

RANKS, STEPS = 3, 2
SIZE, DECAY_SIZE, STATES = 333, 208, 21  # no whole number of pieces, or of anything

# file of the fault, the text before, the text after
FAULTS = [
    (nccl, "lane.follow()\n        lane.copy(gradients", "lane.copy(gradients"),
    (nccl, "lane.follow()\n        lane.copy(states", "lane.copy(states"),
    (nccl, "lane.follow()\n        for number", "for number"),
    (nccl, "self._link.lane.rejoin()", "pass"),
    (nccl, "nccl.groupEnd()\n        lane.rejoin()", "nccl.groupEnd()"),
    (nccl, "lane.copy(room[whole], values[bucket.part])\n        lane.rejoin()", "pass"),
    (nccl, "values[bucket.part])\n        lane.rejoin()", "values[bucket.part])"),
    (nccl, "nccl.groupEnd()", "pass"),
    (nccl, ", self.weights[self._link.rank])", ")"),
    (nccl, "lane.copy(states, states, weight)", "pass"),
    (nccl, "nccl.NCCL_MAX", "nccl.NCCL_SUM"),
    (
        nccl,
        "(bucket.piece, self._sent_type",
        "(bucket.piece - 16 * self._link.rank, self._sent_type",
    ),
    (nccl, "(bucket.piece, nccl.NCCL_FLOAT32", "(bucket.piece + 16, nccl.NCCL_FLOAT32"),
    (
        nccl,
        "self._sent, self._sent_type = self._room, nccl.NCCL_FLOAT32",
        "self._sent, self._sent_type = self._room, nccl.NCCL_INT32",
    ),
    (nccl, "self._link.rank * bucket.piece", "(self._link.rank ^ 1) * bucket.piece"),
    (
        nccl,
        "lane.address(room),\n                lane.address(room[own])",
        "lane.address(gradients[bucket.part]),\n                lane.address(room[own])",
    ),
    (nccl, "            ):\n", "            )[:: -1 if self._link.rank == 1 else 1]:\n"),
    (
        nccl,
        "enumerate(self._cut):\n            whole",
        "[*enumerate(self._cut)][:: 1 - 2 * (self._link.rank == 1)]:\n            whole",
    ),
    (lane, "self._device.follow(self._own.mark())", "self._own.mark()"),
    (lane, "self._own.follow(self._device.mark())", "self._device.mark()"),
    (lane, "self._own.launch(", "self._device.launch("),
    (lane, "self._own.stream", "device.stream"),
]


def with_fault(module: ModuleType, before: str, after: str) -> ModuleType:
    """Return a module made from the text of one, in which something stands in another's place."""
    text = Path(str(module.__file__)).read_text()
    assert text.count(before) == 1, "the table names one place"
    made = ModuleType(module.__name__)
    exec(compile(text.replace(before, after), str(module.__file__), "exec"), made.__dict__)
    return made


def numbers(rank: int, step: int, count: int, which: int) -> np.ndarray:
    """Return what a rank has in a step."""
    return np.random.default_rng((rank, step, which)).standard_normal(count).astype(np.float32)


def check(order: str, as_bf16: bool = False) -> FakeNccl:
    """Exchange everything for a few steps; AssertionError where numbers or calls are wrong."""
    board = Board(RANKS)
    library = FakeNccl(board.news)
    cut = buckets(SIZE, DECAY_SIZE, RANKS)

    def work(rank: int) -> list[np.ndarray]:
        gpu = Gpu(order, rank, library)
        memory = DeviceMemory(gpu)
        wire = ThreadWire(board, rank, gpu.progress)
        link = nccl.connect(wire, memory)
        assert link
        way = nccl.NcclExchange(link, memory, cut, as_bf16)
        flat, states = (memory.allocate(4 * n).view(np.float32) for n in (SIZE, STATES))
        faults = memory.allocate(8).view(np.int32)
        found = []
        for step in range(STEPS):
            way.weights = weights(step)
            for number, bucket in [*enumerate(cut)][::-1]:
                memory.write(numbers(rank, step, SIZE, 0)[bucket.part], flat[bucket.part])
                way.send(number, flat)
            way.finish()
            found += [memory.read(flat[bucket.own(rank)]) for bucket in cut]
            memory.write(numbers(rank, step, STATES, 1), states)
            memory.write(np.array([rank > 0, step * (rank == 2)], np.int32), faults)
            way.join(faults, states, way.weights[rank])
            found += [memory.read(faults), memory.read(states)]
            memory.write(np.full(SIZE, np.nan, np.float32), flat)
            for bucket in cut:
                memory.write(numbers(0, step, SIZE, 2)[bucket.own(rank)], flat[bucket.own(rank)])
            way.hand_out(flat)
            found.append(memory.read(flat))
        assert way.seconds >= 0
        return found

    limit = 0.02 if as_bf16 else 1e-6
    for rank, found in enumerate(board.run(work)):
        for one, (expected, is_exact) in zip(found, expected_of(rank), strict=True):
            if is_exact:
                np.testing.assert_array_equal(one, expected)
            else:
                np.testing.assert_allclose(one, expected, rtol=limit, atol=limit)
    return library


def weights(step: int) -> list[float]:
    """Return the weights of the ranks, the last of which has nothing in the last step."""
    return [0.5, 0.5, 0.0] if step else [0.5, 0.3, 0.2]


def expected_of(rank: int) -> list[tuple[np.ndarray, bool]]:
    """Return what a rank finds, in order, and whether it is that to the bit."""
    expected: list[tuple[np.ndarray, bool]] = []
    for step in range(STEPS):
        total, states = (
            sum(
                w * numbers(r, step, count, which).astype(float)
                for r, w in enumerate(weights(step))
            )
            for count, which in ((SIZE, 0), (STATES, 1))
        )
        cut = buckets(SIZE, DECAY_SIZE, RANKS)
        expected += [(total[bucket.own(rank)], False) for bucket in cut]
        expected += [(np.array([1, step]), True), (states, False)]
        expected.append((numbers(0, step, SIZE, 2), True))
    return expected


def check_all() -> None:
    """Exchange in each order of streams."""
    for order in ORDERS:
        check(order)
