"""Ctrl-C, SIGTERM and a closed terminal stop a training where its weights are whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [each for each in signal.Signals if each.name in ("SIGHUP", "SIGINT", "SIGTERM")]


class HeldSignal:
    """The first of these signals since the hold began waits here; a second one goes through."""

    def __init__(self, before: Callable[[], None]):
        self._before = before
        self._number: int | None = None
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        # a background job of a script ignores Ctrl-C, nohup the end of a terminal, and so do we
        self._handlers = {n: each for n, each in handlers.items() if each != signal.SIG_IGN}

    def check(self) -> None:
        """If a signal waits, call ``before``, then let it act as if nobody had held it."""
        if self._number is not None:
            self.release()

    @property
    def waits(self) -> bool:
        """Whether a signal waits."""
        return self._number is not None

    def release(self) -> None:
        """Call ``before``, then let the signal act: SIGTERM where it waits in another process."""
        self._before()
        self._release(self._number or signal.SIGTERM)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Keep a signal until the next ``check``."""
        if self._number is not None:
            self._release(number)
        self._number = number

    def hold(self) -> None:
        """Receive the signals that somebody handles."""
        for number in self._handlers:
            signal.signal(number, self.receive)

    def restore(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _release(self, number: int) -> None:
        self.restore()
        signal.raise_signal(number)


@contextmanager
def hold_signals(before: Callable[[], None]) -> Iterator[HeldSignal]:
    """Hold the signals back; outside the main thread, which gets them, do nothing."""
    held = HeldSignal(before)
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    held.hold()
    try:
        yield held
    finally:
        held.restore()
