"""The way of batches to where a network computes: what a loader asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np


class Passage(Protocol):
    """Brings batches over ahead of the steps that read them.

    All but ``stage`` is for the thread that runs the plan.
    """

    def stage(self, images: Any) -> Any:
        """Return images (Pixels or an array) where they can be sent from; any thread may ask."""
        ...

    def send(self, images: Any) -> Any:
        """Begin to bring over what ``stage`` returned; return what one run of a plan takes."""
        ...

    def mark(self, data: Any = None) -> Any:
        """Return a moment: when all that was asked for so far is done, and ``data`` is there."""
        ...

    def seconds(self, first: Any, second: Any) -> float | None:
        """Return the seconds from a moment to a later one; None before that has come."""
        ...


class Feed(Passage, Protocol):
    """The way to the memory of a device. Copies are dear: bytes are better than floats."""

    def keep(self, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> Any:
        """Return memory with uint8 images of ``shape`` (N, h, w, c), which come in parts."""
        ...

    def pick(self, kept: Any, moves: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Any:
        """Return what a plan takes for some of the kept images, made numbers as Pixels are.

        ``moves`` (n, 4) int32: which image, how far it is offset down and right, zeros moving in,
        and 1 where it is mirrored before.
        """
        ...


class Here:
    """No way at all: batches are used where they are made."""

    def stage(self, images: Any) -> Any:
        """Return the images themselves."""
        return images

    def send(self, images: Any) -> Any:
        """Return the images themselves."""
        return images

    def mark(self, data: Any = None) -> float:
        """Return the time."""
        return time.perf_counter()

    def seconds(self, first: float, second: float) -> float:
        """Return the difference."""
        return second - first
