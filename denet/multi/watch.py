"""Notices that a rank is gone, for MPI never tells in time: each then waits for ever.

Rank 0 holds a connection to every other one. All send each other a beat; who is silent for too
long, or whose connection ends, is dead, and all others end with exit code 6. One of them says why.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from denet.multi.first_end import hold_line
from denet.multi.outcome import FAILED, tell, tell_process
from denet.multi.peer import Message, Peer, ready
from denet.multi.star import Broadcast, join, name
from denet.printable import printable

BEATS = 5  # in the time after which silence is death
GRACE = 1.0  # seconds that who speaks has before those who are silent end, and mpiexec kills all
REPLY_SECONDS = 2.0
RESUME = "--resume goes on from the last state"


class Watch:
    """Watches the ranks from one of them, in a thread of its own, until all have closed.

    ``hosts`` are the names of the hosts of all ranks, ``broadcast`` gives an object of rank 0 to
    all (comm.bcast), ``timeout`` is in seconds. Raises WorkerError where a rank does not join.
    """

    def __init__(
        self, rank: int, hosts: Sequence[str], broadcast: Broadcast, timeout: float = 60.0
    ):
        self._rank, self._hosts, self._timeout = rank, hosts, timeout
        self._peers = join(rank, hosts, broadcast, timeout)
        hold_line()
        tell_process(rank)
        self._lock = threading.Lock()
        self._has_cause = False  # somebody has said, or says, why the ranks end
        self._closed = False
        self._all_closed, self._answered = threading.Event(), threading.Event()
        self._may_speak, self._fails = True, False
        threading.Thread(target=self._run, name="watch", daemon=True).start()
        if not self._peers:
            self._all_closed.set()

    def fail(self, message: str, code: int) -> None:
        """Tell all ranks that this one ends by an error, and people why, if nobody else has.

        Without a message another rank tells. After it the process must end, by ``os._exit``.
        """
        self._fails = True
        speaks = bool(message) and self._claim()
        if not speaks:
            time.sleep(GRACE)
        tell(self._rank, code, printable_error(message) if speaks else "")

    def close(self, patience: float | None = None) -> bool:
        """Say that this rank has done its work; wait for the others, at most so many seconds.

        Returns whether all have. Then, and only then, MPI can be left in its orderly way.
        """
        with self._lock:
            self._closed = True
            self._check_closed()
        if self._rank:
            self._peers[0].send(close=True)
        return self._all_closed.wait(patience)

    def _claim(self) -> bool:
        """Return whether it is this rank that says why the ranks end."""
        if self._rank == 0:
            return self._take_cause()
        self._peers[0].send(fail=True)
        self._answered.wait(REPLY_SECONDS)
        return self._may_speak

    def _take_cause(self, speaker: Peer | None = None) -> bool:
        """Let all ranks but who tells it end for one cause; False where there has been another."""
        with self._lock:
            if self._has_cause:
                return False
            self._has_cause = True
        for peer in self._peers:
            if peer is not speaker:
                peer.send(end=True)
        return True

    def _run(self) -> None:
        next_beat, peers = 0.0, list(self._peers)
        while peers:
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + self._timeout / BEATS
                for peer in peers:
                    peer.send()
            found = ready(peers, next_beat - time.monotonic())
            if time.monotonic() - now > self._timeout / 2:  # it is this one that stood still
                for peer in peers:
                    peer.seen = time.monotonic()
            for peer in found:
                messages = peer.receive()
                if messages is None:
                    peers.remove(peer)
                    self._lose(peer)
                for message in messages or ():
                    self._hear(peer, message)
            now = time.monotonic()
            for peer in [each for each in peers if now - each.seen > self._timeout]:
                peers.remove(peer)
                self._lose(peer, self._timeout)

    def _hear(self, peer: Peer, message: Message) -> None:
        if "close" in message:
            with self._lock:
                peer.has_closed = True
                self._check_closed()
        elif "all" in message:
            self._all_closed.set()
        elif "first" in message:
            self._may_speak = bool(message["first"])
            self._answered.set()
        elif "fail" in message and self._rank == 0:
            first = self._take_cause(peer)
            peer.send(first=first)
            if first:
                self._leave(GRACE)
        elif "end" in message:
            self._has_cause, self._may_speak = True, False
            self._answered.set()
            if not self._fails:
                self._leave(GRACE)

    def _check_closed(self) -> None:
        """In rank 0, tell all that all have closed."""
        if self._rank == 0 and self._closed and all(peer.has_closed for peer in self._peers):
            for peer in self._peers:
                peer.send(all=True)
            self._all_closed.set()

    def _lose(self, peer: Peer, silent: float | None = None) -> None:
        """End because a rank is gone."""
        if self._all_closed.is_set():
            return
        if peer.has_closed:  # it was interrupted alone, and has said so
            self._take_cause()
            self._leave(GRACE)
        how = f"silent for {silent:g} s" if silent else "killed"
        peer.send(end=True)  # should it wake up
        speaks = self._rank in (0, self._heir(how)) and self._take_cause()
        if speaks:
            where = name(peer.rank, self._hosts)
            tell(self._rank, FAILED, printable_error(f"{where}: {how}: {RESUME}"))
        self._leave(0.0 if speaks else GRACE)

    def _heir(self, how: str) -> int:
        """Return the rank that speaks where rank 0 cannot: where its host is gone, of another."""
        others = [rank for rank, host in enumerate(self._hosts) if host != self._hosts[0]]
        return others[0] if others and how != "killed" else 1

    def _leave(self, seconds: float) -> NoReturn:
        """End this process, without waiting for what its other threads wait for."""
        time.sleep(seconds)
        # a handler may be locked by a thread that hangs
        flushing = threading.Thread(target=_flush_logs, daemon=True)
        flushing.start()
        flushing.join(GRACE)
        os._exit(FAILED)


def guard(watch: Watch, explain: Callable[[BaseException], tuple[str, int]]) -> None:
    """Let an exception that nobody catches, in any thread, end all ranks.

    ``explain`` gives its message and exit code.
    """

    def leave(kind: Any, error: BaseException | None, trace: Any) -> None:
        message, code = explain(error or kind())
        watch.fail(message, code)
        os._exit(code)

    def leave_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_type is not SystemExit:  # which ends the thread
            leave(arguments.exc_type, arguments.exc_value, None)

    sys.excepthook, threading.excepthook = leave, leave_thread


def printable_error(message: str) -> str:
    """Return the line that tells an error; it may have several, as network texts have."""
    return printable(f"error: {message}", "\n\t")


def _flush_logs() -> None:
    for handler in logging.getLogger("denet").handlers:
        handler.flush()
