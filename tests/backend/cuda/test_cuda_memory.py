"""Arithmetic on whole arrays of a device's memory, against that of the host."""

import numpy as np
import pytest
from backend.cuda.devices import device, shim_alone, unavailable
from backend.cuda.host_device import HostDevice
from tolerance import assert_close

from denet.backend.cuda.memory import FUNCTIONS, DeviceMemory
from denet.backend.numpy.memory import HostMemory
from denet.bfloat16 import from_float32, to_float32
from denet.dataset.loader import Normalise
from denet.model.preprocessing import Preprocessing
from denet.training.solver import SOLVERS, Factors, make_solver

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

SIZE, DECAY_SIZE, STEPS = 1045, 500, 5  # several blocks, the last one short
FACTORS = {300: Factors(0.5, 3), 400: Factors(), 600: Factors(2, 0, 0.7)}
MEMORIES = HostMemory(), DeviceMemory(device("random"))


def arrays(count):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(SIZE).astype(np.float32) for _ in range(count)]


def placed(memory, *arrays):
    """Return copies of flat arrays in a memory."""
    copies = [memory.allocate(array.nbytes).view(array.dtype) for array in arrays]
    for array, copy in zip(arrays, copies, strict=True):
        memory.write(array, copy)
    return copies


def steps(memory, name, momentum, clip):
    """Return weights, and all that is kept, after some steps."""
    weights, *gradients = arrays(1 + STEPS)
    solver = make_solver(
        *(name, SIZE, DECAY_SIZE, momentum, 0.3, memory),
        factors=FACTORS,
        clip=clip,
        average=True,
    )
    flat, gradient = placed(memory, weights, weights)
    for each in gradients:
        memory.write(each, gradient)
        solver.update(flat, gradient, 0.01)
    assert memory.read(solver.faults).tolist() == [0, 0]
    return [memory.read(flat).copy(), *(memory.read(kept).copy() for kept in solver.kept.values())]


@pytest.mark.parametrize("clip", [0.0, 5.0, 1e9])
@pytest.mark.parametrize("momentum", [[0.9, 0.99], [0.0, 0.0]])
@pytest.mark.parametrize("name", SOLVERS)
def test_update_equals_that_of_the_host(name, momentum, clip):
    expected, found = (steps(memory, name, momentum, clip) for memory in MEMORIES)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, "f32")


def test_every_rule_has_a_function():
    assert set(SOLVERS.values()) < set(FUNCTIONS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 400, SIZE - 1])
def test_what_is_not_finite_is_found(where, bad):
    memory = MEMORIES[1]
    whole, ruined = arrays(2)
    ruined[where] = bad
    flat, gradient = placed(memory, ruined, whole)
    marks = memory.allocate(8).view(np.int32)
    memory.mark_not_finite(gradient, marks[:1])
    memory.mark_not_finite(flat, marks[1:])
    assert memory.read(marks).tolist() == [0, 1]
    for weights, gradients in ((flat, gradient), (gradient, flat)):
        solver = make_solver("nesterov", SIZE, DECAY_SIZE, [0.9], 0.3, memory)
        solver.update(weights, gradients, 0.1)
        assert memory.read(solver.faults).tolist() == [0, 1]


def test_nothing_is_updated_once_a_cost_was_not_finite():
    for memory in MEMORIES:
        first, second = arrays(2)
        weights, gradients, cost = placed(memory, first, second, np.array([np.nan], np.float32))
        solver = make_solver("adam", SIZE, DECAY_SIZE, [0.9, 0.99], 0.3, memory, average=True)
        memory.mark_not_finite(cost, solver.faults[:1])
        solver.update(weights, gradients, 0.1)
        np.testing.assert_array_equal(memory.read(weights), first)
        assert not any(memory.read(kept).any() for kept in solver.kept.values())
        assert memory.read(solver.faults).tolist() == [1, 0]
        solver.restart()
        solver.update(weights, gradients, 0.1)
        assert (memory.read(weights) != first).any()


@pytest.mark.parametrize(
    "name, scalars", [("running_average", []), ("add", [0.3]), ("blend", [0.3])]
)
def test_averages_and_sums_equal_those_of_the_host(name, scalars):
    results = []
    for memory in MEMORIES:
        given = placed(memory, *arrays(4 if name == "running_average" else 2))
        getattr(memory, name)(*given, *scalars)
        results.append(memory.read(given[0]))
    assert_close(results[1], results[0], "f32")


@pytest.mark.parametrize("shape", [(3, 7, 5, 3), (2, 4, 4, 1), (1, 33, 40, 3)])
def test_bytes_become_the_numbers_that_the_host_makes_of_them(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    _, height, width, channels = shape
    statistics = Preprocessing([0.45, 0.4, 0.3][:channels], [0.21, 0.3, 0.17][:channels])
    normalise = Normalise((channels, height, width), statistics)
    memory = MEMORIES[1]
    numbers = memory.allocate(4 * images.size).view(np.float32).reshape(shape)
    for each in (images, images[::-1]):
        memory.write(normalise.pixels(each, None), numbers)
        np.testing.assert_array_equal(memory.read(numbers), normalise(each))


@pytest.mark.parametrize("count", [1, 8, 2061])
@pytest.mark.parametrize("types", ["ff", "fH", "Hf"])
def test_shares_are_copied_beside_and_rounded_to_bf16(types, count):
    """Both ways; by vectors, with a tail and in more than one block."""
    memory, numbers = MEMORIES[1], arrays(1)[0].repeat(2)[:count]
    make, read = {"f": np.array, "H": from_float32}, {"f": np.array, "H": to_float32}
    source = make[types[0]](numbers)
    expected = make[types[1]](np.float32(0.3) * read[types[0]](source))
    one, other = placed(memory, source, np.zeros(count, types[1]))
    lane = memory.lane()
    lane.follow()
    lane.copy(one, other, 0.3)
    lane.rejoin()
    np.testing.assert_array_equal(memory.read(other), expected)


@pytest.mark.parametrize("memory", MEMORIES, ids=["host", "device"])
def test_every_call_takes_its_own_time(memory):
    made = []
    found = memory.seconds([lambda: made.append(1), lambda: made.append(2)])
    assert made == [1, 2] and len(found) == 2 and min(found) >= 0
    assert memory.seconds([]) == []


@shim_alone
def test_the_processor_in_the_place_of_a_gpu_counts_threads():
    counting = DeviceMemory(HostDevice())
    flat = counting.allocate(4 * 1000).view(np.float32)
    found = counting.seconds([lambda: counting.add(flat, flat, 1.0), lambda: counting.clear(flat)])
    assert found == [pytest.approx(1024e-6), 0.0]  # four blocks of 256
