"""How ranks find each other for a watch: rank 0 listens, the others connect and prove who they are.

The address and a token of 16 random bytes reach them by MPI; who does not know it is dropped.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from denet.errors import WorkerError
from denet.multi.peer import Message, Peer, ready

LOOPBACK = "127.0.0.1"
STRANGERS = 64  # connections that may wait to prove themselves
PROOF_SECONDS = 5.0  # that one has for it
DISCARD = 9  # port; nothing is sent there

Broadcast = Callable[[Any], Any]  # of an object of rank 0; all ranks call it


def join(rank: int, hosts: Sequence[str], broadcast: Broadcast, timeout: float) -> list[Peer]:
    """Return for rank 0 all others, for these rank 0. Raises WorkerError.

    ``hosts`` are the names of the hosts of all ranks, the same on each.
    """
    if rank == 0:
        with _listen(hosts) as listener:
            token = secrets.token_hex(16)
            broadcast([*listener.getsockname()[:2], token])
            return _welcome(listener, token, hosts, timeout)
    address, port, token = broadcast(None)
    return [_reach(address, port, token, rank, hosts, timeout)]


def name(rank: int, hosts: Sequence[str]) -> str:
    """Return what a rank is called in messages."""
    return f"rank {rank} of {len(hosts)} ({hosts[rank]})"


def _listen(hosts: Sequence[str]) -> socket.socket:
    """Listen where the other hosts reach this one, and nobody else if there is no other."""
    others = [host for host in hosts if host != hosts[0]]
    family, address = _route(others[0]) if others else (socket.AF_INET, LOOPBACK)
    return socket.create_server((address, 0), family=family, backlog=STRANGERS)


def _route(host: str) -> tuple[socket.AddressFamily, str]:
    """Return the own address on the way to a host. Raises WorkerError."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, DISCARD, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)
            return family, probe.getsockname()[0]
    except OSError as error:
        raise WorkerError(
            f"{host}: no way to it: {error.strerror or error}: give --hosts names or addresses "
            "that all hosts know"
        ) from None


def _welcome(
    listener: socket.socket, token: str, hosts: Sequence[str], timeout: float
) -> list[Peer]:
    """Return all other ranks when they have come."""
    joined: dict[int, Peer] = {}
    waiting: list[Peer] = []
    end = time.monotonic() + timeout
    while len(joined) < len(hosts) - 1:
        now = time.monotonic()
        if now > end:
            missing = min(set(range(1, len(hosts))) - joined.keys())
            raise WorkerError(
                f"{name(missing, hosts)}: did not join within {timeout:g} s: let the hosts reach "
                "each other's ports, or raise --timeout"
            )
        for late in [each for each in waiting if now > each.seen + PROOF_SECONDS]:
            late.close()
            waiting.remove(late)
        for end_point in ready([listener, *waiting], min(1.0, end - now + 0.01)):
            if end_point is listener:
                with suppress(OSError):
                    waiting.append(Peer(listener.accept()[0]))
                    if len(waiting) > STRANGERS:
                        waiting.pop(0).close()
                continue
            since, messages = end_point.seen, end_point.receive()
            end_point.seen = since  # dripping bytes gains no time
            if messages == []:
                continue
            waiting.remove(end_point)
            rank = _proven(messages, token, len(hosts))
            if rank is None or rank in joined:
                end_point.close()
                continue
            end_point.rank = rank
            joined[rank] = end_point
    for stranger in waiting:
        stranger.close()
    for peer in joined.values():
        peer.seen = time.monotonic()
        peer.send(welcome=True)
    return [joined[rank] for rank in sorted(joined)]


def _proven(messages: list[Message] | None, token: str, count: int) -> int | None:
    """Return the rank of who knows the token, None for a stranger."""
    if not messages or len(messages) > 1:
        return None
    told, rank = messages[0].get("token"), messages[0].get("rank")
    known = isinstance(told, str) and hmac.compare_digest(told.encode(), token.encode())
    return rank if known and type(rank) is int and 0 < rank < count else None


def _reach(
    address: str, port: int, token: str, rank: int, hosts: Sequence[str], timeout: float
) -> Peer:
    """Return rank 0 when it has let this one in."""
    try:
        peer = Peer(socket.create_connection((address, port), timeout), 0)
    except OSError as error:
        raise WorkerError(
            f"{name(rank, hosts)}: cannot reach rank 0 at {address} port {port}: "
            f"{error.strerror or error}: let the hosts reach each other's ports"
        ) from None
    peer.send(token=token, rank=rank)
    end = time.monotonic() + timeout + PROOF_SECONDS  # it waits for the others
    while time.monotonic() < end:
        messages = peer.receive()
        if messages is None:
            break
        if messages and messages[0].get("welcome"):
            return peer
    raise WorkerError(f"{name(rank, hosts)}: rank 0 did not let it in: start the training again")
