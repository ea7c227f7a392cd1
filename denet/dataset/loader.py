"""Batches of normalised images, made by background threads in a fixed order."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from denet.dataset.base import Dataset, thread_count
from denet.dataset.distort import Distortion, distort
from denet.dataset.sample_key import ORDER_BYTES, sample_keys, shuffled
from denet.errors import UsageError


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

    data: Images
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
    for any ``thread_num`` (0: all cores). ``wait_seconds`` adds up how long the consumer waited.
    ``normalise`` stands in for ``Normalise`` where images are not all of the dataset's shape.
    ``levels`` leaves the normalising of bytes to who takes the batches, see Pixels.
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
        levels: bool = False,
        share: Share = WHOLE,
    ):
        if batch_size < 1:
            raise UsageError(f"batch-size: {batch_size}: give a positive number")
        if distortions and dataset.boxed:
            raise UsageError(
                "distort-mode: it would move the pixels but not the boxes: leave it out; crop_mode "
                "and other options of --extension vary images with boxes"
            )
        if training:
            dataset.prepare_training()
        self.dataset = dataset
        self.batch_size = batch_size
        self.share = share
        self.wait_seconds = 0.0
        own = Normalise(dataset.shape, preprocessing)
        self._normalise: Callable[[np.ndarray, np.ndarray | None], Images]
        self._normalise = normalise or (own.pixels if levels else own)
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
        return (ready + 1 + busy) * self.batch_bytes

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
        pool = ThreadPoolExecutor(self.threads, "loader", initializer=_yield_to_training)
        waiting: deque[Future[Batch]] = deque()

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
            while waiting:
                started = time.perf_counter()
                batch = waiting.popleft().result()
                self.wait_seconds += time.perf_counter() - started
                ask()
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, epoch: int, indices: np.ndarray, counted: int, total: int) -> Batch:
        keys = sample_keys(self._seed, epoch, indices)
        images, targets, indices = self.dataset.load(indices, keys, self._training)
        images = distort(images, self._distortions, keys)
        data = self._normalise(images, targets.get("shift"))
        return Batch(data, targets, keys, indices, counted, total)


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

    def pixels(self, images: np.ndarray, shifts: np.ndarray | None) -> Images:
        """Return bytes as they are with their factors, where these are all there is to do."""
        if images.dtype == np.uint8 and self._mean_image is None:
            return Pixels(images, self._byte_scale, self._shift)
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


def _yield_to_training() -> None:
    """Give this thread the lowest priority: a rival for a core stalls every parallel kernel."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
