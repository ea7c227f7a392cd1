"""Which rank ended first, by what mpiexec says and by the lines that ranks hold."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("mpi4py")  # the extra [multi], which is not to be had on Windows

from denet.multi.first_end import FirstEnd
from denet.multi.launch import _reason
from denet.multi.outcome import Sieve

RESUME = "--resume goes on from the last state"
HOLD_LINE = """
from denet.multi.first_end import hold_line
hold_line()
print("holds", flush=True)
input()
"""


def test_one_that_mpiexec_has_killed_is_not_named() -> None:
    """It names any of those that signal 9 has ended."""
    sieve = Sieve("token")
    for rank in range(3):
        sieve.feed("stderr", b"\x1etoken %d pid %d\x1e" % (rank, 7 + rank))
    sieve.feed("stderr", b"=   PID 7 RUNNING AT here\n=   EXIT CODE: 9\n")
    sieve.feed("stderr", b"YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)\n")
    told = [_reason(sieve, 9, 3, process) for process in (7, 8, None)]
    starts = ["rank 0 of 3 (here): killed", "rank 1 of 3 (here): gone", "a rank: gone"]
    assert told == [f"{start}: {RESUME}" for start in starts]


@pytest.mark.skipif(sys.platform != "linux", reason="sockets of Linux")
def test_the_first_to_end_is_known() -> None:
    """Whichever has begun first; nothing is known where one may have ended unseen."""
    token = f"test{os.getpid()}"
    first_end = FirstEnd(token)

    def begin() -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DENET_LAUNCH": token}
        words = [sys.executable, "-c", HOLD_LINE]
        process = subprocess.Popen(words, env=environment, stdin=-1, stdout=-1, text=True)
        assert process.stdout and process.stdout.readline() == "holds\n"
        return process

    held = [begin() for _ in range(3)]
    first_end.look()
    assert first_end.process(3) is None
    for process in (held[1], held[2], held[0]):
        process.kill()
        process.communicate()
    assert first_end.process(3) == held[1].pid and first_end.process(4) is None
    begin().communicate("ends\n")
    first_end.look()
    assert first_end.process(4) is None
    first_end.close()


@pytest.mark.skipif(sys.platform != "linux", reason="sockets of Linux")
def test_nothing_is_known_where_sockets_are_forbidden() -> None:
    """Two launchers of one token stand for it: the second may not have the address."""
    first, second = FirstEnd(f"taken{os.getpid()}"), FirstEnd(f"taken{os.getpid()}")
    second.look()
    assert second.process(1) is None
    first.close()
    second.close()
