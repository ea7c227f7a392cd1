"""How ranks end, told to the launcher by marks on stderr: mpiexec carries it from every host."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Final

TOKEN: Final = "DENET_LAUNCH"  # variable: what the launcher knows the marks of its ranks by
TERMINAL: Final = "DENET_TERMINAL"  # variable: the launcher's stderr is a terminal
FAILED = 6  # exit code of whom another rank or a worker takes along
LONGEST = 4096  # bytes of a line that may be held back
# what Hydra (MPICH, Intel MPI) and PRRTE (Open MPI) say of a rank's end; ours says it in one line
NOISE = re.compile(
    rb"$|=====+$|=  .*(BAD TERMINATION|RANK \d+ PID|PID \d+ RUNNING|EXIT CODE|KILLED BY|CLEANING|"
    rb"YOU CAN IGNORE|EXIT STATUS)|=\s*=?$|YOUR APPLICATION TERMINATED WITH|"
    rb"This typically refers to a problem with your|Please see the FAQ page for debugging|"
    rb"\[(mpiexec|proxy:[\d:]+)@"
)
STARTS = (b"=", b"YOUR APPLICATION", b"This typically", b"Please see", b"[mpiexec@", b"[proxy:")
ERROR = b"error: "
MARK = b"\x1e"  # (RS) at both ends of what is for the launcher


def tell(rank: int, code: int, line: str = "") -> None:
    """Write a line to stderr, and behind it for the launcher, if there is one, how we end.

    It is written at once: mpiexec may kill this process as soon as another one ends.
    """
    mark = f"\x1e{token} {rank} {code}\x1e" if (token := os.environ.get(TOKEN)) else ""
    if line:
        bar = "\n" if on_terminal() else ""  # a bar may stand there
        line = f"{bar}{line}\n"
    with suppress(OSError):
        os.write(2, (line + mark).encode(errors="backslashreplace"))


def tell_process(rank: int) -> None:
    """Let the launcher, if there is one, know which process is this rank: mpiexec knows it not."""
    if token := os.environ.get(TOKEN):
        with suppress(OSError):
            os.write(2, f"\x1e{token} {rank} pid {os.getpid()}\x1e".encode())


def on_terminal() -> bool:
    """Whether what rank 0 writes to stderr is seen on a terminal: mpiexec hides it."""
    return os.environ.get(TERMINAL) == "1"


class Sieve:
    """Takes what mpiexec writes to stdout and stderr; gives what is meant for people.

    The exit codes that ranks tell are kept as ``codes``, rank and code in the order of their
    coming, the numbers of the processes of ranks as ``processes`` (on two hosts they may be the
    same), what mpiexec says of itself as ``noise``. An error that several ranks tell in the same
    words is shown once.
    """

    def __init__(self, token: str):
        self._mark = re.compile(rb"\x1e%s (\d+) (pid )?(\d+)\x1e" % token.encode())
        self._held: dict[object, bytes] = {}
        self._begun: set[object] = set()  # streams of a line whose start has been shown
        self._shown: set[bytes] = set()
        self.codes: list[tuple[int, int]] = []
        self.processes: dict[int, int] = {}
        self.noise: list[bytes] = []

    def feed(self, stream: object, data: bytes) -> bytes:
        """Return what of all that came for a stream so far is to be shown now."""
        data = self._mark.sub(self._take, self.rest(stream) + data)
        *lines, last = data.split(b"\n")
        first = 1 if stream in self._begun else 0
        if lines:
            self._begun.discard(stream)
        lines = [*lines[:first], *filter(self._is_wanted, lines[first:])]
        shown = b"".join(line + b"\n" for line in lines)
        if self._may_change(last, stream in self._begun):
            self._held[stream] = last
            return shown
        if last:
            self._begun.add(stream)
        return shown + last

    def rest(self, stream: object) -> bytes:
        """Return, and forget, what is held back."""
        return self._held.pop(stream, b"")

    def _take(self, mark: re.Match[bytes]) -> bytes:
        rank, number = int(mark[1]), int(mark[3])
        if mark[2]:
            self.processes[rank] = number
        else:
            self.codes.append((rank, number))
        return b""

    def _is_wanted(self, line: bytes) -> bool:
        if NOISE.match(line):
            self.noise += [line] if line else []
            return False
        if not line.startswith(ERROR):
            return True
        is_new = line not in self._shown
        self._shown.add(line)
        return is_new

    def _may_change(self, line: bytes, begun: bool) -> bool:
        """Whether a line that goes on may become a mark, noise or an error that was shown."""
        if MARK in line[-100:]:
            return True
        if begun or not 0 < len(line) < LONGEST:
            return False
        return any(line.startswith(each[: len(line)]) for each in (*STARTS, ERROR))
