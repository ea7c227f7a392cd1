"""Batches of normalised images, made by background threads in a fixed order."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from denet.dataset.base import Dataset, Samples, thread_count
from denet.dataset.feed import Feed, Here, Passage
from denet.dataset.image.decoder import DECODER_FILES, PROCESS_BYTES, lent
from denet.dataset.image.distort import Distortion, distort, moves_only
from denet.dataset.resident import Resident, stored_shape
from denet.dataset.sample_key import ORDER_BYTES, sample_keys, shuffled
from denet.errors import UsageError

MOST_DECODING = 4  # threads: Python's lock lets more of them decode photos hardly faster
AHEAD = 2  # batches that are on their way to a device while another is computed


class Preprocessing(Protocol):
    """Mean and standard deviation per channel, on pixels in [0, 1]; empty for 0 and 1.

    Of a mean image (h, w, c), at least as large as the images, the window where they lie counts.
    """

    @property
    def mean(self) -> Sequence[float]: ...

    @property
    def std(self) -> Sequence[float]: ...

    @property
    def mean_image(self) -> np.ndarray | None: ...


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images as bytes, and what makes numbers of them: levels * scale + shift in float32.

    ``levels`` (n, h, w, c) uint8; ``scale`` and ``shift`` (w c,) float32, those of each row. NumPy
    takes it for the array of these numbers.
    """

    levels: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, h, w, c)."""
        return self.levels.shape

    def __len__(self) -> int:
        return len(self.levels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        n, h, w, c = self.levels.shape
        rows = self.levels.reshape(n, h, w * c).astype(np.float32)
        rows *= self.scale
        rows += self.shift
        return rows.reshape(n, h, w, c).astype(dtype or np.float32, copy=False)


Images = np.ndarray | Pixels  # (n, h, w, c) float32, normalised


class Share(NamedTuple):
    """Which part of each batch a process takes: that of ``rank``, of so many ranks (0, 1, ...)."""

    rank: int = 0
    ranks: int = 1

    def part(self, count: int) -> range:
        """Return the places of its samples in a batch of ``count``; parts differ by one at most."""
        return range(*(count * rank // self.ranks for rank in (self.rank, self.rank + 1)))


WHOLE = Share()


@dataclass(frozen=True)
class Batch:
    """n samples: what a plan takes, and which samples they are.

    Of ranks that outnumber the samples some have none: these get one that does not count.
    """

    data: Any  # Images, or what a ``Feed`` made of them
    targets: dict[str, np.ndarray]  # by name of the network's input: class_index (n,) int32, ...
    sample_keys: np.ndarray  # (n,) uint64, unique per (seed, epoch, sample)
    indices: np.ndarray  # (n,) int64 positions in the dataset
    counted: int  # of these samples: n, or 0
    total: int  # samples of the batches of all ranks


class Loader:
    """Goes through a dataset in batches; the last one of an epoch is as short as it is.

    ``training`` shuffles it, takes as many samples as an epoch of the dataset has, and lets the
    dataset augment them.

    Order and distortions are functions of (seed, epoch, sample index): the batches are the same
    for any ``thread_num`` (0: all cores). Of more than MOST_DECODING each has a process of
    its own make its photos, if there are enough of them. ``normalise`` stands in for ``Normalise``
    where images are not all of the dataset's shape.

    ``feed`` is the way to a device: batches are sent AHEAD, of bytes as they are, see Pixels. Where
    ``resident`` is set, the whole set is sent once in their place (see ``resident_bytes``).

    Of several ranks each has batches of ``batch_size``, its ``share`` of those of all: they hold
    together what those of one process with the batch size of all do.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        preprocessing: Preprocessing,
        *,
        distortions: Sequence[Distortion] = (),
        seed: int = 0,
        thread_num: int | None = 1,
        training: bool,
        normalise: Callable[[np.ndarray, np.ndarray | None], np.ndarray] | None = None,
        feed: Feed | None = None,
        share: Share = WHOLE,
    ):
        if batch_size < 1:
            raise UsageError(f"--batch-size: {batch_size}: give a positive number")
        if distortions and dataset.boxed:
            raise UsageError(
                "--distort-mode: it would move the pixels but not the boxes: leave it out; "
                "crop_mode and other options of --extension vary images with boxes"
            )
        if training:
            dataset.prepare_training()
        self.dataset = dataset
        self.batch_size = batch_size
        self.share = share
        self.resident = False
        own = Normalise(dataset.shape, preprocessing)
        self._normalise: Callable[[np.ndarray, np.ndarray | None], Images]
        self._normalise = normalise or (own.pixels if feed else own)
        self._rows = None if normalise else own.rows
        self._feed = feed
        self._passage: Passage = feed or Here()
        self._kept: Resident | None = None
        self._waited = 0.0
        self._waits: deque[tuple[Any, Any]] = deque()  # of which the end may not have come
        self._distortions = list(distortions)
        self._seed = seed
        self.threads = thread_count(thread_num)
        self.batches_ahead = self.threads + 2  # a few ahead smooth out slow ones
        self._training = training

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-self.epoch_samples // self.total_size)

    @property
    def total_size(self) -> int:
        """Samples of a full batch of all ranks."""
        return self.batch_size * self.share.ranks

    @property
    def epoch_samples(self) -> int:
        """Samples in an epoch."""
        return self.dataset.epoch_samples if self._training else len(self.dataset)

    @property
    def batch_bytes(self) -> int:
        """Bytes of the images of a batch."""
        return 4 * self.batch_size * math.prod(self.dataset.shape)

    @property
    def working_bytes(self) -> int:
        """Bytes of batches in preparation: those that wait, and what each thread works on."""
        ready = min(self.batches_ahead, len(self))
        busy = min(self.threads, len(self))
        held = (ready + 1 + busy) * self.batch_bytes * (not self.resident)
        return held + min(self.processes, len(self)) * self.batch_bytes

    @property
    def processes(self) -> int:
        """Processes that make the samples, one for each thread; 0 where these do it themselves."""
        many = self.threads > MOST_DECODING and sys.platform == "linux"
        pay = self.dataset.in_files and self.epoch_samples >= DECODER_FILES * self.threads
        return self.threads * (many and pay)

    @property
    def process_bytes(self) -> int:
        """Bytes that these processes take, beside the batches in preparation."""
        return min(self.processes, len(self)) * PROCESS_BYTES

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoded images that training comes to keep."""
        return 0 if self.processes else self.dataset.kept_bytes

    @property
    def ahead_bytes(self) -> int:
        """Bytes of a device that the batches take which are sent to it."""
        sent = self._feed is not None and not self.resident
        return sent * min(AHEAD + 1, len(self)) * self.batch_bytes

    @property
    def resident_bytes(self) -> int:
        """Bytes of a device that the whole set would take; 0 where only batches can be sent."""
        fit = self._feed and self._rows and self.dataset.held and moves_only(self._distortions)
        return math.prod(stored_shape(self.dataset)) if fit else 0

    @property
    def wait_seconds(self) -> float:
        """How long the consumer was waiting for data so far; on a device: its computing."""
        while self._waits and (found := self._passage.seconds(*self._waits[0])) is not None:
            self._waits.popleft()
            self._waited += found
        return self._waited

    @property
    def order_bytes(self) -> int:
        """Bytes that drawing the order of an epoch takes."""
        return ORDER_BYTES * len(self.dataset) * self._training

    def epoch(self, number: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of epoch ``number`` (0-based) but the first ``start`` ones.

        Errors of the background reach you. Closing or dropping the iterator ends the threads.
        """
        count, size = self.epoch_samples, self.total_size
        order = shuffled(self._seed, number, len(self.dataset)) if self._training else None
        starts = iter(range(start * size, count, size))
        if self.resident and not self._kept:
            assert self._feed and self._rows
            self._kept = Resident(self.dataset, self._distortions, self._feed, self._rows)
        pool = ThreadPoolExecutor(self.threads, "loader", initializer=yield_to_kernels)
        waiting: deque[Future[Batch]] = deque()
        sent: deque[Batch] = deque()

        def send() -> None:
            sent.append(self._sent(waiting.popleft().result()))

        def ask() -> None:
            if (first := next(starts, None)) is not None:
                total = min(size, count - first)
                own = self.share.part(total)
                places = first + np.arange(own.start, own.stop) if own else np.array([first])
                indices = places if order is None else order[places]
                waiting.append(pool.submit(self._batch, number, indices, len(own), total))

        try:
            for _ in range(self.batches_ahead):
                ask()
            while waiting or sent:
                begin = self._passage.mark()
                if not sent:
                    send()
                batch = sent.popleft()
                self._waits.append((begin, self._passage.mark(batch.data)))
                ask()
                while waiting and len(sent) < AHEAD and _is_made(waiting[0]):
                    send()
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, epoch: int, indices: np.ndarray, counted: int, total: int) -> Batch:
        keys = sample_keys(self._seed, epoch, indices)
        if self._kept:
            moves = self._kept.moves(indices, keys)
            targets = self.dataset.targets(indices)
            return Batch(moves, targets, keys, indices, counted, total)
        images, targets, indices = self._samples(indices, keys)
        images = distort(images, self._distortions, keys)
        data = self._passage.stage(self._normalise(images, targets.get("shift")))
        return Batch(data, targets, keys, indices, counted, total)

    def _samples(self, indices: np.ndarray, keys: np.ndarray) -> Samples:
        if not self.processes:
            return self.dataset.load(indices, keys, self._training)
        with lent(self.processes) as perform:
            return self.dataset.load_by(perform, indices, keys, self._training)

    def again(self, batch: Batch) -> Batch:
        """Return a batch that was taken before as it came, its images made anew."""
        if self._kept:
            return batch
        keys = batch.sample_keys
        images, targets, _ = self._samples(batch.indices, keys)
        images = distort(images, self._distortions, keys)
        return replace(batch, data=self._normalise(images, targets.get("shift")))

    def _sent(self, batch: Batch) -> Batch:
        """Return a batch on its way to where it is computed with."""
        send = self._kept.pick if self._kept else self._passage.send
        return replace(batch, data=send(batch.data))


class Normalise:
    """Turns (n, h, w, c) pixels into float32: (x / 255 - mean) / std, float32 without the 255.

    With a mean image M the window of M that lies where the pixels lie in their scaled image is
    taken away too: see "shift" of ``Samples``. Without shifts it is the centre window.
    """

    def __init__(self, shape: tuple[int, int, int], preprocessing: Preprocessing):
        channels, height, width = shape
        mean, std = (
            np.broadcast_to(np.array(values or default, np.float64), channels)
            for values, default in ((preprocessing.mean, 0), (preprocessing.std, 1))
        )
        # a whole row at once: NumPy is slow over an innermost axis of three channels
        self._scale, self._shift = (
            np.tile(values, width).astype(np.float32) for values in (1 / std, -mean / std)
        )
        self._byte_scale = np.tile(1 / (255 * std), width).astype(np.float32)
        self._size = height, width
        image = preprocessing.mean_image
        self._mean_image = None if image is None else (-image / std).astype(np.float32)

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The factors of ``Pixels``, scale and shift; None where more is to be done."""
        return (self._byte_scale, self._shift) if self._mean_image is None else None

    def pixels(self, images: np.ndarray, shifts: np.ndarray | None) -> Images:
        """Return bytes as they are with their factors, where these are all there is to do."""
        if images.dtype == np.uint8 and self.rows:
            return Pixels(images, *self.rows)
        return self(images, shifts)

    def __call__(self, images: np.ndarray, shifts: np.ndarray | None = None) -> np.ndarray:
        n, h, w, c = images.shape
        rows = images.reshape(n, h, w * c).astype(np.float32)
        rows *= self._byte_scale if images.dtype == np.uint8 else self._scale
        rows += self._shift
        if self._mean_image is not None and shifts is None:
            rows += self._window(self._mean_image, 0, 0, 0)
        elif self._mean_image is not None and shifts is not None:
            for row, shift in zip(rows, shifts.tolist(), strict=True):
                row += self._window(self._mean_image, *shift)
        return rows.reshape(n, h, w, c)

    def _window(self, image: np.ndarray, right: int, down: int, mirrored: int) -> np.ndarray:
        """Return the window (h, w c) so far from the centre, at the border where it ends."""
        height, width = self._size
        spare_y, spare_x = image.shape[0] - height, image.shape[1] - width
        y = min(max(down - (-spare_y // 2), 0), spare_y)
        x = min(max(right - (-spare_x // 2), 0), spare_x)
        window = image[y : y + height, x : x + width]
        return (window[:, ::-1] if mirrored else window).reshape(height, -1)


def _is_made(batch: Future[Batch]) -> bool:
    """Say whether a batch is there; what has failed is told when its turn comes."""
    return batch.done() and not batch.cancelled() and batch.exception() is None


def yield_to_kernels() -> None:
    """Give this thread the lowest priority: a rival for a core stalls every parallel kernel."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
