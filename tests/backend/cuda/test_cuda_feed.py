"""Batches on their way to a device: no buffer is written before it was read; the CPU's numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from backend.cuda.devices import device, shim_alone, unavailable
from backend.cuda.host_device import HostDevice
from backend.cuda.streams import ORDERS, StreamsDevice
from training.tiny import tiny_model

from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.memory import DeviceMemory
from denet.dataset.classes.array import ArrayDataset
from denet.dataset.image.distort import parse_distortions
from denet.dataset.loader import AHEAD, Loader, Normalise
from denet.graph.recompute import Saving
from denet.model.preprocessing import Preprocessing
from denet.training import memory as training_memory
from denet.training import tester as testing
from denet.training.learner import Learner
from denet.training.memory import ON_DEVICE, estimate, make_resident
from denet.training.settings import TrainSettings
from denet.training.state import read_state
from denet.training.trainer import Trainer

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

PREPROCESSING = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.25, 0.5))


def each_order(test):
    """On the processor alone: a GPU has an order of its own."""
    return shim_alone(pytest.mark.parametrize("order", ORDERS)(test))


def array_set(count, shape, dtype=np.uint8, seed=0):
    """Return a set of two classes."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape)).astype(dtype)
    if dtype == np.float32:
        images /= 255
    return ArrayDataset(["a", "b"], np.arange(count) % 2, images, rng.permutation(count))


def loader_of(dataset, feed=None, tokens=("o3", "m50"), batch_size=3):
    channels = dataset.shape[0]
    return Loader(
        dataset,
        batch_size,
        Preprocessing((0.5, 0.4, 0.3, 0.2)[:channels], (0.2, 0.25, 0.5, 0.3)[:channels]),
        distortions=parse_distortions(tokens),
        training=True,
        feed=feed,
        thread_num=2,
    )


def received(memory, loader):
    """Return the batches of two epochs as they come into an input of a plan, one after the other.

    What was written is copied aside before the next batch comes, nothing is read before the end.
    """
    inputs, found = {}, []
    for epoch in range(2):
        for batch in loader.epoch(epoch):
            shape = batch.data.shape
            if shape not in inputs:
                inputs[shape] = memory.allocate(4 * int(np.prod(shape))).view(np.float32)
            memory.write(batch.data, inputs[shape].reshape(shape))
            found.append(memory.allocate(inputs[shape].nbytes).view(np.float32).reshape(shape))
            memory.copy(inputs[shape], found[-1].reshape(-1))
    return [memory.read(each) for each in found]


def assert_batches_of_the_host(memory, make_loader, resident=False):
    expected = [batch.data for epoch in range(2) for batch in make_loader().epoch(epoch)]
    loader = make_loader(memory.feed)
    loader.resident = resident
    found = received(memory, loader)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


SHAPES = [(3, 7, 5), (1, 4, 4), (3, 32, 32), (4, 1, 9)]
TOKENS = [(), ("o1",), ("m50",), ("o3", "m50"), ("o40", "m100")]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tokens", TOKENS, ids=" ".join)
@pytest.mark.parametrize("mirrored", [False, True])
def test_kept_images_become_the_batches_of_the_host(shape, tokens, mirrored):
    dataset = array_set(11, shape)  # the last batch is short
    if mirrored:
        dataset.append_mirrored()
    make = partial(loader_of, dataset, tokens=tokens, batch_size=4)
    assert_batches_of_the_host(DeviceMemory(device("random")), make, resident=True)


def test_places_in_the_kept_images_are_counted_in_64_bits():
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 41, 3), np.uint8)
    normalise = Normalise((3, 40, 41), PREPROCESSING)
    target = device()
    memory = DeviceMemory(target)
    count = 2**31 // image.nbytes + 2
    kept = target.allocate(count * image.nbytes).reshape(count, *image.shape[1:])
    target.write(image, kept[count - 1 : count])
    moves = np.array([[count - 1, 0, 0, 0], [count - 1, 40, 0, 0]], np.int32)
    numbers = memory.allocate(8 * image.nbytes).view(np.float32).reshape(2, *image.shape[1:])
    memory.write(memory.feed.pick(kept, moves, *normalise.rows), numbers)
    expected = normalise(np.concatenate([image, np.zeros_like(image)]))
    np.testing.assert_array_equal(memory.read(numbers), expected)


@each_order
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_no_memory_is_sent_to_before_its_reader_ran(order, dtype):
    memory = DeviceMemory(StreamsDevice(order))
    dataset = array_set(20, (3, 6, 5), dtype)
    assert_batches_of_the_host(memory, partial(loader_of, dataset))
    assert 0 < len(memory.feed._spare) <= AHEAD + 1  # which served all batches in turn


@each_order
def test_a_batch_is_written_when_it_is_there(order):
    """Whoever sends it need not look at its mark; memory grows where a batch is larger."""
    memory = DeviceMemory(StreamsDevice(order))
    found = []
    for count in (2, 5, 1, 3):
        images = np.random.default_rng(count).integers(0, 256, (count, 4, 6, 3), np.uint8)
        batches = Normalise((3, 4, 6), PREPROCESSING), Normalise((3, 4, 6), Preprocessing())
        for normalise in batches:
            data = normalise.pixels(images, None)
            numbers = memory.allocate(4 * images.size).view(np.float32).reshape(images.shape)
            memory.write(memory.feed.send(memory.feed.stage(data)), numbers)
            found.append((numbers, normalise(images)))
    for numbers, expected in found:
        np.testing.assert_array_equal(memory.read(numbers), expected)
    assert [flat.nbytes for flat, _ in memory.feed._spare] == [5 * 4 * 6 * 3]


@each_order
def test_kept_images_in_any_order_of_streams(order):
    memory = DeviceMemory(StreamsDevice(order))
    make = partial(loader_of, array_set(20, (3, 6, 5)))
    assert_batches_of_the_host(memory, make, resident=True)


class Small(HostDevice):
    """A device with so many bytes left."""

    free = 1 << 30

    def free_bytes(self):
        return self.free


@shim_alone
def test_a_set_is_resident_where_memory_is_left():
    backend = CudaBackend(Small())
    sets = array_set(40_000, (3, 6, 6)), array_set(10_000, (3, 6, 6), seed=1)
    settings, model = TrainSettings(batch_size=10), tiny_model()
    learner = Learner(model, 10, settings, backend, "f32", Saving("segments"))
    loader = loader_of(sets[0], backend.memory.feed, batch_size=10)
    tester = testing.Tester(model, sets[1], settings, backend)
    nbytes = [each.resident_bytes for each in (loader, *tester.loaders)]
    assert nbytes == [40_000 * 108, 10_000 * 108]

    def needed():
        return estimate(learner, loader, tester)

    def chosen(free, limit=None):
        for each in (loader, *tester.loaders):
            each.resident = False
        Small.free = free
        make_resident(learner, loader, tester, limit)
        return [each.resident for each in (loader, *tester.loaders)]

    plain, before = needed().split(ON_DEVICE)[1], needed().total
    assert plain.growing["images sent"] == 3 * 10 * 108 * 4
    assert chosen(1 << 30) == [True, True]
    kept = needed().split(ON_DEVICE)[1]
    assert kept.fixed["images kept there"] == sum(nbytes) and not kept.growing["images sent"]
    assert chosen(4 * nbytes[0]) == [True, True] and chosen(4 * nbytes[0] - 1) == [False, True]
    assert chosen(4 * nbytes[1] - 1) == chosen(plain.total) == [False, False]
    more = nbytes[1] * 3 // 2  # for one of them, and for what the process takes meanwhile
    assert chosen(1 << 30, before + more) == [False, True]
    assert chosen(1 << 30, before) == [False, False]


WAYS = ("written", "sent", "resident")


def trained(directory, backend, way, monkeypatch, dtype=np.uint8):
    """Train two epochs with a test after each; return the values of the last model, and errors."""
    loaders = []
    make_resident = training_memory.make_resident

    def choose(learner, loader, tester, limit):
        loaders.extend([loader, *tester.loaders])
        if way == "resident":
            make_resident(learner, loader, tester, limit)

    monkeypatch.setattr(training_memory, "make_resident", choose)
    if way == "written":
        backend.memory.feed = None
    settings = TrainSettings(
        output_prefix=str(directory / way),
        **{"epochs": 2, "batch_size": 3, "learn_rate": 0.01, "solver": "nesterov"},
        **{"learn_momentum": (0.9, 0.0), "distort_mode": ("o1", "m50"), "thread_num": 2},
    )
    model = tiny_model(text="C.B[8,3] BN A D[0.2] P.A R")
    sets = array_set(8, (3, 6, 6), dtype), array_set(7, (3, 6, 6), dtype, seed=1)
    trainer = Trainer(model, *sets, settings, backend, "f32")
    assert [each.resident for each in loaders] == [way == "resident"] * 2
    history = trainer.run()
    told = [{name: value for name, value in row.items() if "second" not in name} for row in history]
    return read_state(directory / f"{way}.state").model.values(), told


@each_order
def test_a_training_gives_the_same_bits_however_its_data_come(order, tmp_path, monkeypatch):
    results = []
    for way in WAYS:
        backend = CudaBackend(StreamsDevice(order))
        with monkeypatch.context() as patch:
            results.append(trained(tmp_path, backend, way, patch))
    expected, history = results[0]
    for values, told in results[1:]:
        assert repr(told) == repr(history)
        for name, value in expected.items():
            np.testing.assert_array_equal(values[name], value, name)


@shim_alone
def test_numbers_are_sent_too(tmp_path, monkeypatch):
    results = []
    for way in WAYS[:2]:
        backend = CudaBackend(StreamsDevice("random"))
        with monkeypatch.context() as patch:
            results.append(trained(tmp_path, backend, way, patch, np.float32))
    for name, value in results[0][0].items():
        np.testing.assert_array_equal(results[1][0][name], value, name)
