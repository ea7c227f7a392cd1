"""The other end of a connection between two ranks: lines of JSON, each of bounded length."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

LONGEST = 1 << 14  # bytes of a line
PATIENCE = 1.0  # seconds that a write may take

Message = dict[str, Any]


class Peer:
    """Rank ``rank`` at the other end of a socket; ``seen`` is when it was heard last."""

    def __init__(self, connection: socket.socket, rank: int = -1):
        connection.settimeout(PATIENCE)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection, self.rank = connection, rank
        self.seen = time.monotonic()
        self.has_closed = False
        self._buffer = b""
        self._writing = threading.Lock()

    def fileno(self) -> int:
        """Return the number that ``selectors`` waits for."""
        return self.connection.fileno()

    def send(self, **message: Any) -> None:
        """Send a message; that it does not arrive, the reading tells."""
        with suppress(OSError), self._writing:
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Message] | None:
        """Return the messages that came; None where the other end is gone or talks nonsense."""
        try:
            data = self.connection.recv(LONGEST)
        except TimeoutError:
            return []
        except OSError:
            return None
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if not data or len(self._buffer) > LONGEST:
            return None
        self.seen = time.monotonic()
        try:
            messages = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            return None
        return messages if all(isinstance(each, dict) for each in messages) else None

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def ready(ends: Iterable[Any], seconds: float) -> list[Any]:
    """Return those peers and sockets that have something to read, after so many seconds at most."""
    with selectors.DefaultSelector() as selector:
        for each in ends:
            selector.register(each, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(max(0.0, seconds))]
