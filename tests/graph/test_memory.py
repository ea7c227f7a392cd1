"""The arena: no array is overwritten while a later step still reads it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph.memory import Step, Value, plan_memory
from denet.graph.tensor_type import TensorType


def value(size: int) -> Value:
    return Value(TensorType((size,), "float32"), np.dtype(np.float32))


def step(reads: list[Value], writes: list[Value], in_place=()) -> Step:
    return Step("s", "s", reads, writes, lambda arena: None, list(in_place))


def run_and_check(steps: list[Step]) -> int:
    """Play the steps with a different number in every array; each read must find its number."""
    nbytes = plan_memory(steps)
    arena = np.zeros(nbytes, np.uint8)
    numbers: dict[Value, int] = {}
    for current in steps:
        for read in current.reads:
            assert (read.view(arena) == numbers[read]).all()
        for written in current.writes:
            numbers[written] = len(numbers) + 1
            written.view(arena)[...] = numbers[written]
    return nbytes


def test_a_chain_needs_two_arrays_at_a_time():
    a, b, c, d = (value(16) for _ in range(4))
    steps = [step([], [a]), step([a], [b]), step([b], [c]), step([c], [d])]
    assert run_and_check(steps) == 2 * 64


def test_in_place_needs_one_array():
    a, b, c = (value(16) for _ in range(3))
    steps = [step([], [a]), step([a], [b], [(b, a)]), step([b], [c], [(c, b)])]
    assert run_and_check(steps) == 64


def test_in_place_is_refused_while_a_later_step_reads():
    a, b, c = (value(16) for _ in range(3))
    steps = [step([], [a]), step([a], [b], [(b, a)]), step([a, b], [c])]
    assert run_and_check(steps) == 3 * 64


def test_in_place_takes_over_from_one_array_only_once():
    a, b, c, d = (value(16) for _ in range(4))
    steps = [step([], [a]), step([a], [b, c], [(b, a), (c, a)]), step([b, c], [d])]
    assert run_and_check(steps) == 3 * 64


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_programs_never_overwrite_a_live_array(data):
    values: list[Value] = []
    steps = []
    for _ in range(data.draw(st.integers(2, 15))):
        known = (
            st.lists(st.sampled_from(values), max_size=3, unique=True) if values else st.just([])
        )
        reads = data.draw(known)
        sizes = data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=3))
        writes = [value(size) for size in sizes]
        pairs = [(w, r) for w in writes for r in reads if data.draw(st.booleans())]
        steps.append(step(reads, writes, pairs))
        values += writes
    run_and_check(steps)
