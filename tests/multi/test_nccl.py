"""Gradients from GPU to GPU: against what MPI and one process give, over a fake of NCCL."""

from __future__ import annotations

import logging
import os
import threading
from functools import cache

import numpy as np
import pytest
from backend.cuda.devices import NO_SHIM, unavailable
from backend.cuda.host_device import HostDevice
from backend.cuda.streams import ORDERS
from multi.exchanged import FAULTS, STEPS, check, check_all, with_fault
from multi.fake_nccl import FakeNccl, Gpu, NcclError
from multi.threads import Board, ThreadWire
from training.tiny import tiny_model, tiny_set

from denet.backend.cuda import lane, memory
from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.lane import DeviceLane
from denet.backend.cuda.memory import DeviceMemory
from denet.backend.numpy.backend import NumpyBackend
from denet.backend.numpy.memory import HostMemory
from denet.dataset.loader import WHOLE, Loader, Share
from denet.errors import WorkerError
from denet.graph.recompute import Saving
from denet.multi import exchange, nccl
from denet.multi.exchange import HostExchange, buckets
from denet.multi.learner import ParallelLearner
from denet.multi.nccl import Link, NcclExchange, connect
from denet.training.learner import Learner
from denet.training.settings import TrainSettings

if reason := unavailable() or NO_SHIM:
    pytest.skip(reason, allow_module_level=True)

PLAIN, NORMALISED = "C[4,3] A P.A R", "C.B[4,3] BN A P.A R"
BATCH, IMAGES = 12, 20  # the second batch of an epoch is short
RANKS = 3


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    """Let a small network have several buckets, whose ends are no whole pieces."""
    monkeypatch.setattr(exchange, "BUCKET", 64)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Forget what was set for NCCL."""
    for name in ("NCCL_NVLS_ENABLE", "NCCL_ALGO"):
        monkeypatch.delenv(name, raising=False)
    yield
    os.environ.pop("NCCL_NVLS_ENABLE", None)


def settings_of(**changes):
    values = {"solver": "nesterov", "learn_momentum": (0.9, 0.0), "learn_decay": 1e-2}
    return TrainSettings(**values | changes)


def train(make, backend, text, share=WHOLE, factor=1):
    """Train two epochs; return weights, running averages, and what the solver keeps."""
    model = tiny_model(text=text)
    loader = Loader(
        tiny_set(size=IMAGES),
        BATCH // share.ranks // factor,
        model.preprocessing,
        training=True,
        feed=backend.memory.feed,
        share=share,
    )
    learner = make(model, loader.batch_size)
    finite = []
    for epoch in range(2):
        for number, batch in enumerate(loader.epoch(epoch), 1):
            last = number % factor == 0 or number == len(loader)
            images = min(BATCH, IMAGES - (number - 1) // factor * BATCH)
            learner.add(batch, batch.counted / images, last)
            if last:
                finite.append(learner.update(0.05))
    assert all(each() for each in finite)
    return learner.plan.values() | learner.averages()


@cache
def alone(text, **changes):
    """Return what one process trains."""
    settings = settings_of(**changes)

    def make(model, size):
        return Learner(model, size, settings, NumpyBackend(), "f32", Saving("segments"))

    return train(make, NumpyBackend(), text, factor=settings.batch_size_factor)


def by_ranks(count, text, device, **changes):
    """Return what ranks train, each with a device; and how they exchanged."""
    board = Board(count)
    settings = settings_of(ranks=count, **changes)
    ways = []

    def work(rank):
        gpu = device(rank, board)
        wire = ThreadWire(board, rank, getattr(gpu, "progress", lambda: None))
        backend = CudaBackend(gpu)

        def make(model, size):
            kind = model, size, settings, backend, "f32", Saving("segments")
            learner = ParallelLearner(wire, *kind)
            ways.append(type(learner._exchange))
            return learner

        return train(make, backend, text, Share(rank, count), settings.batch_size_factor)

    first, *others = board.run(work)
    for other in others:
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value, name)
    return first, set(ways)


def gpus(order):
    """Return what makes the GPUs of a test."""
    lock, made = threading.Lock(), {}

    def device(rank, board):
        with lock:
            nccl = made.setdefault(board, FakeNccl(board.news))
        return Gpu(order, rank, nccl)

    return device


def by_host(text, **changes):
    """Return what ranks train whose gradients travel through the memory of the host."""
    found, ways = by_ranks(RANKS, text, lambda rank, board: Gpu("random", rank, None), **changes)
    assert ways == {HostExchange}
    return found


def assert_near(found, expected, limit=1e-5):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=limit, atol=limit, err_msg=name)


@pytest.mark.parametrize("as_bf16", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_sums_and_parts_are_those_of_float64(order, as_bf16):
    nccl = check(order, as_bf16=as_bf16)
    # buckets of 64 at most: four of 208 numbers, and two of the 125 that do not decay
    step = ["reduceScatter"] * 6 + ["allReduce"] * 2 + ["allGather"] * 6
    assert nccl.made == step * STEPS


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_a_fault_is_seen(number, monkeypatch):
    module, before, after = FAULTS[number]
    faulty = with_fault(module, before, after)
    if module is lane:
        monkeypatch.setattr(memory, "DeviceLane", faulty.DeviceLane)
    else:
        monkeypatch.setattr(nccl, "NcclExchange", faulty.NcclExchange)
    with pytest.raises(AssertionError):
        check_all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("text", [PLAIN, NORMALISED])
def test_trains_as_by_mpi_and_as_one_process(text, order):
    found, ways = by_ranks(RANKS, text, gpus(order))
    assert ways == {NcclExchange}
    assert_near(found, by_host(text))
    if text == PLAIN:  # batch norm sees the batches of a rank
        assert_near(found, alone(text))


@pytest.mark.parametrize("count", [2, 4])
def test_clips_accumulates_and_averages_as_one_process(count):
    changes = {"gradient_clip": 0.05, "average": "ema", "batch_size_factor": 3 - count // 2}
    found, _ = by_ranks(count, PLAIN, gpus("random"), **changes)
    assert_near(found, alone(PLAIN, **changes))


def test_bf16_on_the_wire_is_near():
    """Rounded to 8 bits at each of two additions; the way is that of four steps."""
    start, exact = tiny_model(text=PLAIN).values(), by_host(PLAIN)
    found, _ = by_ranks(RANKS, PLAIN, gpus("random"), wire="bf16")
    for name, before in start.items():
        error = np.linalg.norm(found[name] - exact[name])
        assert 0 < error < 0.02 * np.linalg.norm(exact[name] - before), name


def told(make, caplog, count=2):
    """Return how ranks would exchange, and what they tell; ``make`` gives a memory to each."""
    board = Board(count)

    def work(rank):
        gpu = make(rank, board)
        wire = ThreadWire(board, rank, getattr(gpu, "progress", lambda: None))
        return connect(wire, DeviceMemory(gpu) if gpu else HostMemory()) is not None

    with caplog.at_level(logging.INFO):
        (way,) = set(board.run(work))
    return way, {record.getMessage() for record in caplog.records}


def test_ranks_on_processors_have_nothing_to_tell(caplog):
    assert told(lambda rank, board: None, caplog) == (False, set())


def lacking(rank, board):
    return Gpu("random", rank, None if rank else FakeNccl(board.news))


def mixed(rank, board):
    return None if rank else Gpu("random", rank, FakeNccl(board.news))


def sharing(rank, board):
    return Gpu("random", 5, FakeNccl(board.news))


def of_two_versions(rank, board):
    return Gpu("random", rank, FakeNccl(board.news, 23203 - rank))


class Refusing(FakeNccl):
    """It opens nothing."""

    def NcclCommunicator(self, ranks, key, rank):  # noqa: N802
        raise NcclError("NCCL_ERROR_SYSTEM_ERROR: no way out")


class Mute(FakeNccl):
    """It has no ids."""

    def get_unique_id(self):
        raise NcclError("NCCL_ERROR_SYSTEM_ERROR: no interface")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lacking, "rank 1: NCCL is not installed: pip install nvidia-nccl-cu13"),
        (mixed, "rank 1 computes on the processor: give each rank a GPU"),
        (sharing, "ranks 0 and 1 share a GPU: give each one of its own"),
        (
            of_two_versions,
            "rank 0 has NCCL 2.32.3, rank 1 2.32.2: install the same on all",
        ),
        (
            lambda rank, board: Gpu("random", rank, Refusing(board.news)),
            "rank 0: NCCL_ERROR_SYSTEM_ERROR: no way out",
        ),
        (
            lambda rank, board: Gpu("random", rank, Mute(board.news)),
            "rank 0: NCCL_ERROR_SYSTEM_ERROR: no interface",
        ),
    ],
)
def test_without_nccl_gradients_travel_by_mpi_and_one_line_says_why(make, why, caplog):
    line = f"gradients travel by MPI, not from GPU to GPU: {why}"
    assert told(make, caplog) == (False, {line})


def test_switches_do_not_add_unless_they_are_asked_to(caplog, monkeypatch):
    """What they add differs from run to run."""
    device = gpus("random")
    assert told(device, caplog) == (True, set())
    assert os.environ.pop("NCCL_NVLS_ENABLE") == "0"
    for name, value in (("NCCL_ALGO", "ring"), ("NCCL_NVLS_ENABLE", "1")):
        monkeypatch.setenv(name, value)
        assert told(device, caplog) == (True, set())
        assert os.environ.get("NCCL_NVLS_ENABLE") == ("1" if value == "1" else None)


def test_what_nccl_finds_ends_the_rank():
    library = FakeNccl(Board(1).news)
    gpu = Gpu("random", 0, library)
    memory = DeviceMemory(gpu)

    class Broken:
        def check_async_error(self):
            raise NcclError("NCCL_ERROR_REMOTE_ERROR: remote process exited")

    link = Link(0, 1, memory.lane(), library, Broken())
    with pytest.raises(WorkerError, match="remote process exited: run again with NCCL_DEBUG=WARN"):
        NcclExchange(link, memory, buckets(32, 16, 1), False).finish()


def test_the_time_that_a_device_waits_is_told_once():
    waiting = DeviceLane(HostDevice())
    waiting.rejoin()
    waiting.rejoin()
    assert waiting.waited() > 0 and waiting.waited() == 0
