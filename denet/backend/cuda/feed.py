"""Batches on their way to a device: copied beside what it computes, or picked of what it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from denet.backend.cuda.device import Device


@dataclass(frozen=True, eq=False)
class Sent:
    """A batch that is being copied to memory of the device: float32, or bytes and their factors."""

    shape: tuple[int, ...]
    memory: Any  # of that shape
    flat: Any  # what it is the beginning of
    there: Any  # mark from which on it is
    rows: tuple[np.ndarray, np.ndarray] | None = None  # scale and shift, where it is bytes

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True, eq=False)
class Picked:
    """A batch of kept images, see ``Feed`` in dataset/feed.py."""

    kept: Any
    moves: np.ndarray
    rows: tuple[np.ndarray, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, h, w, c)."""
        return len(self.moves), *self.kept.shape[1:]

    def __len__(self) -> int:
        return len(self.moves)


class DeviceFeed:
    """The way to a device; see ``Feed`` in dataset/feed.py.

    A batch is sent to memory of its own. When what reads it has been launched ``is_read`` is told,
    and the memory serves a later batch, of that size or less, as soon as that has run.
    """

    def __init__(self, device: Device):
        self._device = device
        self._spare: list[tuple[Any, Any]] = []  # memory, and the mark from which on it is idle

    def stage(self, images: Any) -> Any:
        """Return a copy of images in memory that the device reads by itself."""
        if isinstance(images, np.ndarray):
            return self._device.stage(images)
        return replace(images, levels=self._device.stage(images.levels))

    def send(self, images: Any) -> Sent:
        """Begin to copy what ``stage`` returned."""
        numbers = isinstance(images, np.ndarray)
        array = images if numbers else images.levels
        flat, idle = self._memory(array.nbytes)
        memory = flat[: array.nbytes].view(array.dtype).reshape(array.shape)
        there = self._device.send(array, memory, idle)
        rows = None if numbers else (images.scale, images.shift)
        return Sent(array.shape, memory, flat, there, rows)

    def is_read(self, sent: Sent) -> None:
        """Take back the memory of a batch: whatever reads it has been launched."""
        self._spare.append((sent.flat, self._device.mark()))

    def _memory(self, nbytes: int) -> tuple[Any, Any]:
        """Return memory of so many bytes or more, and the mark from which on it is idle."""
        for place, (flat, idle) in enumerate(self._spare):
            if flat.nbytes >= nbytes:
                del self._spare[place]
                return flat, idle
        del self._spare[:1]  # which is too small
        # the zeros that are written to new memory come first
        return self._device.allocate(nbytes), self._device.mark()

    def keep(self, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> Any:
        """Return memory with images."""
        kept = self._device.allocate(math.prod(shape)).reshape(shape)
        first = 0
        for part in parts:
            self._device.write(part, kept[first : first + len(part)])
            first += len(part)
        return kept

    def pick(self, kept: Any, moves: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Picked:
        """Return some of the images: nothing is copied yet."""
        return Picked(kept, moves, (scale, shift))

    def mark(self, data: Any = None) -> Any:
        """Return when all that was launched has run, and data that were sent are there."""
        if isinstance(data, Sent):
            self._device.follow(data.there)
        return self._device.mark()

    def seconds(self, first: Any, second: Any) -> float | None:
        """Return the device's time between two marks; None while it has not come to the second."""
        return self._device.elapsed(first, second)
