"""Starts the ranks of a training by mpiexec, passes signals on, and tells how they ended."""

from __future__ import annotations

import math
import os
import re
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TextIO

from denet.cores import core_count
from denet.multi.first_end import FirstEnd
from denet.multi.leftovers import end_all, remove_leftovers, shared_files
from denet.multi.mpiexec import Host, Mpiexec, find_mpiexec, places
from denet.multi.outcome import FAILED, TERMINAL, TOKEN, Sieve
from denet.multi.watch import RESUME

CHUNK = 1 << 16
START = 300.0  # seconds that all ranks have to find each other
ENDING = 5.0  # seconds that mpiexec has to end all once one rank has: a host may be gone
LINGER = 2.0  # seconds that what mpiexec wrote may come after its end: a process may hold its pipes


def launch(
    words: Sequence[str],
    ranks: int,
    hosts: Sequence[Host] = (),
    gpus: Sequence[int] = (),
) -> int:
    """Run Python with these words as so many ranks; return the exit code.

    That is the code of the first rank that failed by itself, 6 where none could say one.
    ``gpus`` are the numbers of those of each host, one for each of its ranks. SIGINT, SIGTERM and
    SIGHUP go to all ranks, a second one ends them at once. Raises UsageError.
    """
    mpiexec = find_mpiexec()
    token = secrets.token_hex(8)
    environment = {TOKEN: token, **_environment(mpiexec, ranks, hosts, gpus)}
    before = shared_files()
    try:
        with _Run(mpiexec, ranks, hosts, environment, words) as run:
            sieve = Sieve(token)
            run.show(sieve)
            return run.code(sieve)
    finally:
        end_all(f"{TOKEN}={token}", LINGER)  # ranks that were killed let go of memory late
        remove_leftovers(before)


def _environment(
    mpiexec: Mpiexec, ranks: int, hosts: Sequence[Host], gpus: Sequence[int]
) -> dict[str, str]:
    """Return the variables that ranks get; hosts are taken to be like this one."""
    most = max((host.ranks for host in hosts), default=ranks)
    cores = core_count()
    told = {**mpiexec.environment(most > cores), **places(hosts)}
    if "OMP_NUM_THREADS" not in os.environ:
        told["OMP_NUM_THREADS"] = str(max(1, cores // most))
    if gpus:
        told["GPU"] = ",".join(map(str, gpus))
    told[TERMINAL] = "0"
    if sys.stderr.isatty():
        size = shutil.get_terminal_size()
        told |= {TERMINAL: "1", "COLUMNS": str(size.columns), "LINES": str(size.lines)}
    return told


class _Run:
    """An mpiexec at work; signals go to it."""

    def __init__(
        self,
        mpiexec: Mpiexec,
        ranks: int,
        hosts: Sequence[Host],
        environment: dict[str, str],
        words: Sequence[str],
    ):
        self._mpiexec, self._ranks, self._number = mpiexec, ranks, 0  # of the first signal
        self._runs = False
        self._sieve: Sieve | None = None
        self._handlers = {
            number: handler
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if (handler := signal.getsignal(number)) != signal.SIG_IGN  # as nohup wants it
        }
        self._first_end = FirstEnd(environment[TOKEN])
        self._command = [*mpiexec.words(ranks, hosts, environment), sys.executable, *words]
        self._environment = os.environ | environment

    def __enter__(self) -> _Run:
        for number in self._handlers:
            signal.signal(number, self._pass_on)
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the ranks once, by us
        )
        self._runs = True
        if self._number:
            self._send()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._process.poll() is None:
            self._process.kill()  # Hydra and PRRTE end their ranks when they lose it
        self._process.wait()
        self._first_end.close()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe
            pipe.close()

    def show(self, sieve: Sieve) -> None:
        """Write what is meant for people until the ranks have ended. Raises OSError for stdout."""
        self._sieve = sieve
        for text, data in self._read():
            _write(text, sieve.feed(text, data))
            self._first_end.look()
        for text in (sys.stdout, sys.stderr):
            _write(text, sieve.rest(text))
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def code(self, sieve: Sieve) -> int:
        """Return how the ranks ended; say it where none of them could."""
        codes = [code for _, code in sieve.codes]
        if codes:
            code = next((code for code in codes if code not in (0, FAILED)), max(codes))
            return 128 + self._number if self._number and code >= 128 else code
        if self._number:
            _write(sys.stderr, b"error: interrupted\n")
            return 128 + self._number
        if self._process.returncode == 0:
            return 0
        first = self._first_end.process(self._ranks)
        reason = _reason(sieve, self._process.returncode, self._ranks, first)
        _write(sys.stderr, f"error: {reason}\n".encode())
        return FAILED

    def _read(self) -> Iterator[tuple[TextIO, bytes]]:
        """Yield what mpiexec writes, and where to, until its end or that of our patience."""
        patience, since = 0.0, 0.0
        with selectors.DefaultSelector() as selector:
            pipes = (self._process.stdout, sys.stdout), (self._process.stderr, sys.stderr)
            for pipe, text in pipes:
                assert pipe
                selector.register(pipe, selectors.EVENT_READ, text)
            while selector.get_map() or self._process.poll() is None:
                for key, _ in selector.select(0.5):
                    if data := os.read(key.fd, CHUNK):
                        yield key.data, data
                    else:
                        selector.unregister(key.fileobj)
                now, before, patience = time.monotonic(), patience, self._patience()
                since = since if patience == before else now
                if now - since > patience:
                    return

    def _patience(self) -> float:
        """Return for how many seconds things may stay as they are."""
        assert self._sieve
        if self._process.poll() is not None:
            return LINGER
        if self._sieve.codes:
            return ENDING
        return math.inf if len(self._sieve.processes) == self._ranks else START

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Hand the first signal to the ranks; let a second one end them.

        So does the first one before all watch each other: some may be gone, and others wait.
        """
        again, self._number = self._number, self._number or number
        watched = self._sieve is not None and len(self._sieve.processes) == self._ranks
        if self._runs and (again or not watched):
            self._process.kill()
        elif self._runs:
            self._send()

    def _send(self) -> None:
        self._process.send_signal(self._mpiexec.signal(self._number))


def _reason(sieve: Sieve, code: int, ranks: int, first: int | None) -> str:
    """Return why the ranks ended, by what mpiexec said, which now and then is the first to see.

    It may name one that it has killed; ``first`` is the process that ended before all others.
    """
    noise = sieve.noise
    text = b"\n".join(noise).decode(errors="replace")
    if found := re.search(r"PID (\d+) RUNNING AT (\S+)", text):
        process: int | None = int(found[1])
        code_told = re.search(r"EXIT CODE: (\d+)", text)
        how = f"ended with code {code_told and code_told[1]}"
        if "(signal 9)" in text:
            process, how = first, "killed" if process == first else "gone"
        return f"{_who(sieve, process, ranks, f' ({found[2]})')}: {how}: {RESUME}"
    if noise:
        said = re.sub(r"^\[[^]]*\] \w+ \([^)]*\): ", "", noise[0].decode(errors="replace"))
        return (
            f"mpiexec could not start the ranks: {said}: see that ssh reaches all --hosts without "
            "a password, and finds there what is here"
        )
    if code < 0 and (late := ranks - len(sieve.processes)):
        return f"{late} of {ranks} ranks did not start: see that all --hosts answer"
    if code < 0:
        return f"mpiexec was killed (signal {-code}): {RESUME}"
    return f"{_who(sieve, first, ranks)} ended with code {code}: {RESUME}"


def _who(sieve: Sieve, process: int | None, ranks: int, host: str = "") -> str:
    """Return the name of the rank that a process is; two hosts may have the same number."""
    known = [rank for rank, number in sieve.processes.items() if number == process]
    return f"rank {known[0]} of {ranks}{host}" if len(known) == 1 else "a rank"


def _write(text: TextIO, data: bytes) -> None:
    """Write all data to stdout or stderr; what stderr does not take is dropped."""
    try:
        while data:
            data = data[os.write(text.fileno(), data) :]
    except OSError:
        if text is sys.stdout:
            raise
