"""The HTTP server: its socket, and running until a signal stops it."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from denet.errors import UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette

CONNECTIONS = 1000  # at a time; further ones are told 503
STOP_SECONDS = 30  # that requests in work are given when the service is stopped
CANNOT_LISTEN = {
    errno.EADDRINUSE: "--port: {1} is taken on {0}: give another",
    errno.EADDRNOTAVAIL: "--host: {0} is no address of this machine: give 127.0.0.1 or another",
    errno.EACCES: "--port: {1} is for the administrator: give one from 1024 on",
}


def require_libraries() -> None:
    """Raise UsageError unless what serves is installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"model-serve: {error.name} is not installed: pip install starlette uvicorn"
        ) from None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, port 0 for any free one. Raises UsageError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host: {host!r}: no such address: give 127.0.0.1 or another") from None
    try:
        opened = socket.create_server(address, family=family)
    except OSError as error:
        text = CANNOT_LISTEN.get(error.errno or 0, "--port: {1} on {0}: {2}: give another")
        reason = os.strerror(error.errno or 0)  # that of Python has the address again
        raise UsageError(text.format(host, port, reason)) from None
    # head and body of a reply are two packets; the second would wait for the client to confirm the
    # first, 40 ms. asyncio sees to it only where a socket was made with the number of TCP
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def address(opened: socket.socket) -> str:
    """Return the URL of what listens on a socket."""
    host, port = opened.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_loopback(opened: socket.socket) -> bool:
    """Say whether only this machine reaches a socket."""
    host: str = opened.getsockname()[0]
    return host.startswith("127.") or host == "::1"


def run(app: Starlette, opened: socket.socket) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; answer what is in work, then raise KeyboardInterrupt.

    A second SIGINT does not wait: what is in work is told 503.
    """
    import h11
    import uvicorn

    async def heard(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            with suppress(h11.LocalProtocolError):  # the client has gone, or speaks no HTTP
                await send(message)

        await app(scope, receive, tell)

    # bad requests are no news; what is a fault of ours is logged where it is answered
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        heard,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    hangup = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; none on Windows
    if hangup and signal.getsignal(hangup) != signal.SIG_IGN:  # nohup
        signal.signal(hangup, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    uvicorn.Server(config).run(sockets=[opened])
