"""A rank started by mpiexec: launched.py MARK FILE WORD [RANK [TIMEOUT]].

RANK (0) does what WORD says, the others wait for it by MPI as training does. When all have met,
each writes "ready" to stderr. MARK only tells whose processes these are.
"""

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from denet.errors import DenetError
from denet.multi.outcome import tell
from denet.multi.started import communicator, host_names, local_rank, started
from denet.multi.watch import Watch, guard

TOLD = ("OMP_NUM_THREADS", "MPIR_CVAR_ENABLE_HEAVY_YIELD", "GPU", "DENET_TERMINAL", "DENET_HOSTS")


def explain(error: BaseException) -> tuple[str, int]:
    return f"{error}", 5 if isinstance(error, MemoryError) else 1


def fail() -> None:
    raise ValueError("the cause")


def say(word: str) -> None:
    os.write(2, f"{word}\n".encode())  # at once: ranks write side by side


def wait(world: Any) -> None:
    request = world.Ibarrier()
    while not request.Test():
        time.sleep(0.001)


def stop_together(world: Any, watch: Watch, path: str, rank: int) -> int:
    """Wait for a signal; let all agree on it, rank 0 write a file; end as a command does."""
    got: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: got.append(number))
    say("ready")
    while not world.allreduce(len(got)):
        time.sleep(0.01)
    counts = world.gather([number for number in got])
    if rank == 0:
        with open(path, "a") as file:
            print(json.dumps(counts), file=file)
    code = 128 + signal.SIGTERM
    assert watch.close()
    tell(rank, code, "" if rank else "error: interrupted")
    return code


def main() -> int:
    _, path, word = sys.argv[1:4]
    victim, timeout = (*map(float, sys.argv[4:6]), *(0.0, 60.0)[len(sys.argv) - 4 :])
    if word == "late":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("ready")
        time.sleep(120)
    if word == "early":
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        world = communicator()
    except DenetError as error:
        tell(0, error.exit_code, f"error: {error}")
        return error.exit_code
    rank = world.Get_rank()
    watch = Watch(rank, host_names(world), world.bcast, timeout)
    guard(watch, explain)
    wait(world)
    if word == "stop":
        return stop_together(world, watch, path, rank)
    if word == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: say("heard"))
        say("ready")
        while True:
            time.sleep(0.01)  # signal.pause() misses what comes just before it
    if word == "tell":
        known = {name: os.environ.get(name) for name in TOLD}
        told = world.gather([started(), local_rank(), known])
        if rank == 0:
            print(json.dumps(told))
    elif rank == int(victim):
        match word:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hold":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "gone":  # with the host, so with what started it there
                os.kill(os.getppid(), signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGSTOP)
            case "orphan":
                os.kill(os.getppid(), signal.SIGSTOP)
            case "raise":
                fail()
            case "thread":
                threading.Thread(target=fail).start()
            case "exit":
                os._exit(3)
            case "memory":
                raise MemoryError("too little of it")
    wait(world)
    watch.close()
    tell(rank, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
