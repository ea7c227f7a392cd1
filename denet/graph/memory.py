"""Memory of a plan: every value lives from its first write to its last read in one shared arena."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from denet.graph.kernel import Call
from denet.graph.tensor_type import TensorType

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register

ELEMENT_TYPES: dict[str, dict[str, Any]] = {
    "f32": {"real": np.float32, "float32": np.float32, "int32": np.int32, "uint8": np.uint8},
    "bf16": {"real": np.uint16, "float32": np.float32, "int32": np.int32, "uint8": np.uint8},
}


@dataclass(eq=False)
class Value:
    """One array of a plan, written by one step; ``array`` is set for memory outside the arena."""

    type: TensorType
    dtype: np.dtype
    array: np.ndarray | None = None
    first: int = -1  # step that writes it
    last: int = -1  # last step that reads it
    offset: int = 0

    @property
    def nbytes(self) -> int:
        return self.type.size * self.dtype.itemsize

    def view(self, arena: np.ndarray) -> np.ndarray:
        """Return the array, cut from ``arena`` (uint8) unless it has memory of its own."""
        if self.array is not None:
            return self.array
        part = arena[self.offset : self.offset + self.nbytes]
        return part.view(self.dtype).reshape(self.type.shape)


@dataclass(eq=False)
class Step:
    """One prepared call: what it reads and writes, and how to bind it once memory is known."""

    name: str  # node name
    kind: str  # op and direction, as timing tables show it
    reads: list[Value]
    writes: list[Value]
    bind: Callable[[np.ndarray], Call | None]
    in_place: list[tuple[Value, Value]] = field(default_factory=list)  # (written, read) may share


def plan_memory(steps: list[Step]) -> int:
    """Give every arena value its offset; return the bytes of the arena.

    Values that live at the same time never overlap, except where a step may write in place over
    an array that nobody reads afterwards. Larger values are placed first, each at the lowest gap.
    """
    for index, step in enumerate(steps):
        for value in step.writes:
            value.first = index if value.first < 0 else value.first
            value.last = max(value.last, index)
        for value in step.reads:
            value.last = index
    roots = _share_in_place(steps)
    return _place(roots)


def _share_in_place(steps: list[Step]) -> list[tuple[Value, int, list[Value]]]:
    """Let values take over the memory of values that die; return (root, last, members)."""
    members: dict[Value, list[Value]] = {}
    lasts: dict[Value, int] = {}
    root_of: dict[Value, Value] = {}
    for index, step in enumerate(steps):
        taken: set[Value] = set()
        for written, read in step.in_place:
            if written.array is not None or read.array is not None or written in root_of:
                continue
            root = root_of[read]
            fits = written.nbytes <= root.nbytes
            if fits and read.last == index and lasts[root] == index and root not in taken:
                taken.add(root)
                root_of[written] = root
                members[root].append(written)
                lasts[root] = written.last
        for value in step.writes:
            if value.array is None and value not in root_of:
                root_of[value] = value
                members[value] = [value]
                lasts[value] = value.last
    return [(root, lasts[root], group) for root, group in members.items()]


def _place(roots: list[tuple[Value, int, list[Value]]]) -> int:
    """Set the offsets; return the end of the highest value."""
    order = sorted(roots, key=lambda entry: -entry[0].nbytes)
    count = len(order)
    starts, ends = np.zeros(count, np.int64), np.zeros(count, np.int64)
    firsts, lasts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for placed, (root, last, group) in enumerate(order):
        live = (firsts[:placed] <= last) & (lasts[:placed] >= root.first)
        neighbours = np.flatnonzero(live)
        offset = 0
        for other in neighbours[np.argsort(starts[neighbours], kind="stable")]:
            if starts[other] - offset >= root.nbytes:
                break
            offset = max(offset, int(ends[other]))
        end = offset + -(-root.nbytes // ALIGNMENT) * ALIGNMENT
        starts[placed], ends[placed] = offset, end
        firsts[placed], lasts[placed] = root.first, last
        for value in group:
            value.offset = offset
    return max(map(int, ends), default=0)
