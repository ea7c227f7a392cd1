"""Which rank of this host ends first: mpiexec, which then kills the others, may name any of them.

Each rank holds a line to the launcher, a socket. The kernel cuts it when the rank ends, and before
the one to mpiexec: what was opened last is closed first.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from contextlib import suppress

from denet.multi.outcome import TOKEN

_held: list[socket.socket] = []  # the line of this rank, for as long as it lives


def hold_line() -> None:
    """Let the launcher see the end of this rank, if one of this host has started it."""
    if token := os.environ.get(TOKEN):
        with suppress(OSError):
            line = socket.socket(socket.AF_UNIX)
            line.connect(_address(token))
            _held.append(line)


class FirstEnd:
    """The launcher's ends of all lines.

    Nothing is known on other systems than Linux, or where a sandbox forbids it.
    """

    def __init__(self, token: str):
        self._lines: dict[int, tuple[socket.socket, int]] = {}  # by file number: and the process
        if sys.platform == "linux":
            self._queue = select.epoll()
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.setblocking(False)
            with suppress(OSError):
                self._listener.bind(_address(token))
                self._listener.listen(socket.SOMAXCONN)

    def close(self) -> None:
        """Let go of all lines."""
        if sys.platform == "linux":
            self._queue.close()
            self._listener.close()
            for line, _ in self._lines.values():
                line.close()

    def look(self) -> None:
        """Take the lines of ranks that have come."""
        with suppress(OSError):  # there is none left
            while sys.platform == "linux":
                self._take(self._listener.accept()[0])

    def process(self, ranks: int) -> int | None:
        """Return which process of so many ranks ended first; None if one may have ended unseen."""
        if sys.platform == "linux" and len(self._lines) == ranks:
            for number, _ in self._queue.poll(0):  # what is ready comes in the order it became so
                return self._lines[number][1]
        return None

    def _take(self, line: socket.socket) -> None:
        if sys.platform == "linux":
            self._queue.register(line, select.EPOLLRDHUP)
            told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            process, _, _ = struct.unpack("3i", told)
            try:
                line.recv(1, socket.MSG_DONTWAIT)
                line.close()
            except BlockingIOError:  # so it has not ended yet
                self._lines[line.fileno()] = line, process


def _address(token: str) -> str:
    return f"\0denet-{token}"  # of the kernel, not of a file
