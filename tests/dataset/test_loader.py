"""The loader: exact batches, order, determinism, and threads that end."""

import os
import sys
import threading
import time

import numpy as np
import pytest

from denet.dataset.base import Dataset
from denet.dataset.classes.array import ArrayDataset
from denet.dataset.classes.directory import DirectoryDataset
from denet.dataset.feed import Here
from denet.dataset.image.distort import mirror, offset, parse_distortions
from denet.dataset.loader import AHEAD, Loader, Normalise, Pixels
from denet.errors import UsageError
from denet.model.preprocessing import Preprocessing

COUNT = 23
PIXELS = np.random.default_rng(2).integers(0, 256, (COUNT, 6, 4, 3), dtype=np.uint8)
LABELS = np.arange(COUNT) % 5
PREPROCESSING = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.25, 0.5))


def dataset():
    return DirectoryDataset(list("abcde"), LABELS, [str(i) for i in range(COUNT)], PIXELS)


def loader(data=None, batch_size=5, training=True, **options):
    return Loader(data or dataset(), batch_size, PREPROCESSING, training=training, **options)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_plain_epoch():
    """Without shuffling: the samples in order, (x / 255 - mean) / std, a short last batch."""
    batches = list(loader(training=False).epoch(0))
    assert [len(batch.data) for batch in batches] == [5, 5, 5, 5, 3]
    assert (
        len(loader()) == 5 and len(loader(batch_size=23)) == 1 and len(loader(batch_size=24)) == 1
    )
    data = np.concatenate([batch.data for batch in batches])
    assert data.dtype == np.float32
    expected = (PIXELS / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
    np.testing.assert_allclose(data, expected, rtol=1e-5, atol=1e-6)
    classes = np.concatenate([batch.targets["class_index"] for batch in batches])
    assert classes.dtype == np.int32 and classes.tolist() == LABELS.tolist()
    assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(COUNT))


def test_an_epoch_of_a_part_is_drawn_anew_each_time():
    data = dataset()
    data.epoch_limit = 12
    epochs = []
    for threads, number in [(1, 0), (4, 0), (1, 1), (1, 2)]:
        part = loader(data, seed=3, thread_num=threads)
        batches = list(part.epoch(number))
        assert [len(batch.data) for batch in batches] == [5, 5, 2] and len(part) == 3
        epochs.append(np.concatenate([batch.indices for batch in batches]).tolist())
        assert len(set(epochs[-1])) == 12
        rest = list(part.epoch(number, start=2))
        assert [batch.indices.tolist() for batch in rest] == [epochs[-1][10:]]
    one, same, other, third = epochs
    assert one == same and len({tuple(sorted(each)) for each in epochs}) == 3
    assert set(one) | set(other) | set(third) > set(one)
    seen = {
        index
        for number in range(20)
        for batch in loader(data).epoch(number)
        for index in batch.indices.tolist()
    }
    assert seen == set(range(COUNT))
    assert sum(len(batch.data) for batch in loader(data, training=False).epoch(0)) == COUNT
    data.epoch_limit = 100
    assert len(loader(data)) == 5


def test_shuffled_epoch_holds_every_sample_once():
    orders = []
    for epoch in (0, 1, 0):
        batches = list(loader(seed=3).epoch(epoch))
        indices = np.concatenate([batch.indices for batch in batches])
        orders.append(indices.tolist())
        assert sorted(indices) == list(range(COUNT))
        for batch in batches:
            expected = (PIXELS[batch.indices] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
            np.testing.assert_allclose(batch.data, expected, rtol=1e-5, atol=1e-6)
            assert batch.targets["class_index"].tolist() == LABELS[batch.indices].tolist()
    assert orders[0] == orders[2] != orders[1] and orders[0] != sorted(orders[0])
    other = np.concatenate([batch.indices for batch in loader(seed=4).epoch(0)])
    assert other.tolist() != orders[0]


@pytest.mark.parametrize("threads", [2, 4, 0, None])
def test_same_batches_for_any_number_of_threads(threads):
    tokens = parse_distortions(["o2", "m50", "r10"])
    for one, many in zip(
        loader(distortions=tokens, thread_num=1).epoch(2),
        loader(distortions=tokens, thread_num=threads).epoch(2),
        strict=True,
    ):
        for name in ("data", "sample_keys", "indices"):
            np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
        np.testing.assert_equal(one.targets, many.targets)


def test_a_sample_looks_the_same_in_any_batch():
    """Distortions and keys belong to (seed, epoch, sample), not to the batch or the order."""
    tokens = parse_distortions(["o2", "m50"])
    seen = []
    for options in ({"batch_size": 5}, {"batch_size": 7}, {"batch_size": 23, "training": False}):
        batches = list(loader(distortions=tokens, seed=1, **options).epoch(4))
        indices, keys, data = (
            np.concatenate([getattr(batch, name) for batch in batches])
            for name in ("indices", "sample_keys", "data")
        )
        seen.append((keys[np.argsort(indices)], data[np.argsort(indices)]))
    for keys, data in seen[1:]:
        np.testing.assert_array_equal(keys, seen[0][0])
        np.testing.assert_array_equal(data, seen[0][1])
    later = list(loader(distortions=tokens, seed=1, batch_size=23, training=False).epoch(5))[0]
    assert not set(later.sample_keys.tolist()) & set(seen[0][0].tolist())
    assert (later.data != seen[0][1]).any()


def test_padding_is_black():
    """Offsets move in pixel 0, which normalises to -mean / std."""
    tokens = parse_distortions(["o6"])
    batch = next(loader(distortions=tokens, batch_size=23).epoch(0))
    black = np.array([-0.5 / 0.2, -0.4 / 0.25, -0.3 / 0.5])
    assert np.isclose(batch.data, black, atol=1e-6).all(axis=3).mean() > 0.3


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_normalise(dtype):
    images = PIXELS.astype(dtype)
    before = images.copy()
    result = Normalise((3, 6, 4), PREPROCESSING)(images)
    pixels = images / (255.0 if dtype == np.uint8 else 1.0)
    np.testing.assert_allclose(
        result, (pixels - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(images, before)
    plain = Normalise((3, 6, 4), Preprocessing())(images)
    np.testing.assert_allclose(plain, pixels, rtol=1e-6)


class Elsewhere(Here):
    """A way to a device that is the host: it tells what it was asked for, and when."""

    def __init__(self):
        self.sent, self.kept, self.marks = [], [], []

    def send(self, images):
        self.sent.append(images)
        return images

    def keep(self, shape, parts):
        self.kept.append(np.concatenate(list(parts)))
        assert self.kept[-1].shape == shape
        return self.kept[-1]

    def pick(self, kept, moves, scale, shift):
        mirrored = mirror(kept[moves[:, 0]], moves[:, 3] == 1)
        return Pixels(offset(mirrored, moves[:, 1], moves[:, 2]), scale, shift)

    def mark(self, data=None):
        self.marks.append(data)
        return len(self.marks)

    def seconds(self, first, second):
        return None if second == len(self.marks) else second - first  # it lags by one batch


def test_bytes_stay_bytes_where_who_takes_them_makes_the_numbers():
    feed = Elsewhere()
    left, made = loader(feed=feed).epoch(3), loader().epoch(3)
    for one, other in zip(left, made, strict=True):
        assert one.data.levels.dtype == np.uint8 and one.data.shape == other.data.shape
        assert len(one.data) == len(other.data)
        np.testing.assert_array_equal(np.asarray(one.data), other.data)
    assert len(feed.sent) == 5


def test_batches_are_sent_ahead_as_soon_as_they_are_made():
    feed = Elsewhere()
    batches = loader(feed=feed, batch_size=2, thread_num=2).epoch(0)
    data, ahead = [], set()
    for batch in batches:
        data.append(batch.data)
        ahead.add(len(feed.sent) - len(data))
        time.sleep(0.01)  # as a step that is slower than the making of batches
    assert max(ahead) == AHEAD and min(ahead) >= 0 and len(data) == 12
    assert all(one is other for one, other in zip(data, feed.sent, strict=True))


def test_the_wait_for_data_is_what_the_feed_measures():
    source = loader(feed=(feed := Elsewhere()))
    found = []
    for batch in source.epoch(0):
        assert feed.marks[-2] is None and feed.marks[-1] is batch.data
        found.append(source.wait_seconds)
    assert found == [0, 1, 2, 3, 4] and source.wait_seconds == 4
    feed.mark()
    assert source.wait_seconds == 5


@pytest.mark.parametrize("tokens", [[], ["o2"], ["m50"], ["o9", "m30"], ["o0", "m100"]])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_resident_set_gives_the_same_batches(tokens, mirrored):
    data = dataset()
    if mirrored:
        data.append_mirrored()
    options = {"distortions": parse_distortions(tokens), "thread_num": 2, "seed": 6}
    plain, kept = loader(data, **options), loader(data, feed=(feed := Elsewhere()), **options)
    assert kept.resident_bytes == PIXELS.nbytes and not plain.resident_bytes
    assert kept.working_bytes and kept.ahead_bytes == 3 * kept.batch_bytes
    kept.resident = True
    assert not kept.working_bytes and not kept.ahead_bytes
    for epoch in range(2):
        for one, other in zip(plain.epoch(epoch), kept.epoch(epoch), strict=True):
            np.testing.assert_array_equal(one.data, np.asarray(other.data))
            np.testing.assert_equal(one.targets, other.targets)
            np.testing.assert_array_equal(one.sample_keys, other.sample_keys)
            np.testing.assert_array_equal(one.indices, other.indices)
    assert len(feed.kept) == 1 and not feed.sent
    np.testing.assert_array_equal(feed.kept[0], PIXELS)


def test_what_cannot_be_resident():
    images = PIXELS.astype(np.float32).transpose(0, 3, 1, 2)
    rows = np.arange(COUNT)
    numbers = ArrayDataset(list("abcde"), LABELS, images, rows)
    levels = ArrayDataset(list("abcde"), LABELS, images.astype(np.uint8), rows)
    mean = Preprocessing(mean_image=np.zeros((6, 4, 3)))
    turned = parse_distortions(["o1", "r5"])
    feed = Elsewhere()
    assert loader(levels, feed=feed).resident_bytes == PIXELS.nbytes
    assert not loader(numbers, feed=feed).resident_bytes
    assert not loader(levels, feed=feed, distortions=turned).resident_bytes
    assert not loader(levels).resident_bytes
    assert not Loader(levels, 5, mean, training=True, feed=feed).resident_bytes
    assert not Loader(levels, 5, mean, training=True, feed=feed, normalise=np.copy).resident_bytes


def test_an_error_comes_with_its_batch_though_others_were_sent():
    batches = Loader(
        Failing(57), 10, Preprocessing(), training=False, thread_num=3, feed=Elsewhere()
    ).epoch(0)
    for _ in range(5):
        next(batches)
    with pytest.raises(OSError, match="disk on fire"):
        next(batches)
    assert not loader_threads()


@pytest.mark.parametrize(
    "images, mean_image", [(np.float32, None), (np.uint8, np.zeros((6, 4, 3)))]
)
def test_what_bytes_cannot_tell_comes_as_numbers(images, mean_image):
    normalise = Normalise((3, 6, 4), Preprocessing(mean_image=mean_image))
    assert normalise.pixels(PIXELS.astype(images), None).dtype == np.float32


class Failing(Dataset):
    def __init__(self, bad):
        super().__init__(["a"], np.zeros(100), ["x"] * 100, (1, 2, 2))
        self.bad = bad

    def read(self, indices):
        if self.bad in indices:
            raise OSError("disk on fire")
        return np.zeros((len(indices), 2, 2, 1), np.uint8)


def test_errors_reach_the_consumer():
    batches = Loader(Failing(57), 10, Preprocessing(), training=False, thread_num=3).epoch(0)
    for _ in range(5):
        next(batches)
    with pytest.raises(OSError, match="disk on fire"):
        next(batches)
    assert not loader_threads()


def test_abandoned_epoch_leaves_no_threads():
    source = loader(batch_size=1, thread_num=3)
    batches = source.epoch(0)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()
    for _ in source.epoch(1):
        break  # dropped, not closed
    assert not loader_threads()
    assert len(list(source.epoch(0))) == COUNT and not loader_threads()
    assert source.wait_seconds > 0


def test_only_a_few_batches_are_made_ahead():
    class Counting(Failing):
        count = 0

        def read(self, indices):
            self.count += 1
            return super().read(indices)

    data = Counting(-1)
    batches = Loader(data, 1, Preprocessing(), training=False, thread_num=2).epoch(0)
    next(batches)
    assert data.count <= 5
    batches.close()


@pytest.mark.skipif(sys.platform != "linux", reason="priorities per thread are a Linux matter")
def test_background_threads_are_nice():
    seen = []

    class Spy(Failing):
        def read(self, indices):
            seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().read(indices)

    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    list(Loader(Spy(-1), 10, Preprocessing(), training=False).epoch(0))
    assert set(seen) == {19}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


def test_batch_size_must_be_positive():
    with pytest.raises(UsageError, match="batch-size: 0"):
        loader(batch_size=0)
